"""When policy is read again: the states of a process, and what leads from one to the next.

Pure: time, the number of changes that this process has committed, and events
come as arguments; ``holder`` waits, reads and swaps. ``step`` is all there is:

    Fresh, NoTables --Needed, and it is time--> Refreshing
    Failing         --Needed, and it is time--> Refreshing (remembers the failure)
    Refreshing      --Succeeded--> Fresh, or NoTables before ``migrate``
    Refreshing      --Failed, TimedOut--> Failing, whose pauses double
    Failing         --Succeeded--> Fresh: a refresh that was given up ended well

A refresh that was superseded by another one changes nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from ..concurrency import FIRST_PAUSE, next_pause

# For the state row; a database that has not answered by then is taken to be away.
ANSWER_SECONDS = 2.0
# For the rows, once the state row was read; compiling many of them takes its time.
RELOAD_SECONDS = 20.0


class Moment(NamedTuple):
    """Now: seconds of ``clock``, and how many changes this process has committed."""

    at: float
    changes: int


class Bounds(Protocol):
    """Two settings; without a maximum age policy is read after changes of this process alone."""

    @property
    def policy_max_age(self) -> float | None: ...
    @property
    def policy_max_staleness(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One refresh.

    Attributes:
        number: tells it from others.
        begun: before anything was read; what was read cannot be older.
        is_answered: the state row was read; from then on the rows are.
    """

    number: int
    begun: Moment
    is_answered: bool = False

    def hangs(self, now: Moment) -> bool:
        """Whether it takes longer than anybody waits for it."""
        limit = RELOAD_SECONDS if self.is_answered else ANSWER_SECONDS
        return now.at - self.begun.at >= limit


# -- states -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fresh:
    """The last refresh succeeded; ``None``: there was none yet."""

    read: Moment | None = None


@dataclass(frozen=True, slots=True)
class NoTables:
    """The last refresh found that ``migrate`` is still to come."""

    read: Moment


@dataclass(frozen=True, slots=True)
class Failing:
    """The last refresh failed.

    Attributes:
        since: when the first one failed of those that failed in a row.
        next_try: when the next one may begin.
        pause: how long that is after the last failure.
        changes: of this process, when the last one to fail began.
        last: what was read before.
        attempt: one that was given up although it goes on; it may end well.
    """

    since: float
    next_try: float
    pause: float
    changes: int
    last: Fresh | NoTables
    attempt: Attempt | None = None

    def is_certain(self, now: Moment) -> bool:
        """Whether it failed so lately that it can be counted on to fail now."""
        return now.at < self.next_try + self.pause + FIRST_PAUSE


@dataclass(frozen=True, slots=True)
class Refreshing:
    """A refresh is under way."""

    attempt: Attempt
    before: Fresh | NoTables | Failing


State = Fresh | NoTables | Failing | Refreshing


# -- events -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Needed:
    """A request needs policy; ``number`` is for the attempt that this may begin."""

    number: int
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Answered:
    """The state row was read."""

    number: int


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A refresh ended well."""

    number: int
    has_tables: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """A refresh ended with an error."""

    number: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A request has waited for this refresh for as long as any does."""

    number: int


Event = Needed | Answered | Succeeded | Failed | TimedOut


def step(state: State, event: Event, now: Moment) -> State:
    """Return the state that follows."""
    if isinstance(event, Needed):
        return _begin_if_due(state, event, now)
    if isinstance(state, Fresh | NoTables):
        return state
    attempt = state.attempt
    if attempt is None or attempt.number != event.number:
        return state
    if isinstance(event, Answered):
        return replace(state, attempt=replace(attempt, is_answered=True))
    if isinstance(event, Succeeded):
        return Fresh(attempt.begun) if event.has_tables else NoTables(attempt.begun)
    going_on = attempt if isinstance(event, TimedOut) else None
    if isinstance(state, Refreshing):
        return _fail(state, now, going_on)
    # It was given up before, and that was counted.
    return replace(state, attempt=going_on)


def _begin_if_due(state: State, event: Needed, now: Moment) -> State:
    if isinstance(state, Refreshing):
        before = state.before
        is_lost = isinstance(before, Failing) and before.is_certain(now)
        if not (is_lost and state.attempt.hangs(now)):
            return state
        # Nobody waits for it, so nobody gave it up.
        state = _fail(state, now, state.attempt)
    if isinstance(state, Failing):
        if state.attempt is not None:
            is_due = state.attempt.hangs(now) and now.at >= state.next_try
        else:
            is_due = now.at >= state.next_try or now.changes != state.changes
        before = replace(state, attempt=None)
    else:
        is_due = not _is_young(state, event.bounds, now, ages=1)
        before = state
    return Refreshing(Attempt(event.number, now), before) if is_due else state


def _fail(state: Refreshing, now: Moment, attempt: Attempt | None) -> Failing:
    before = state.before
    pause = next_pause(before.pause if isinstance(before, Failing) else 0.0)
    return Failing(
        since=before.since if isinstance(before, Failing) else now.at,
        next_try=now.at + pause,
        pause=pause,
        changes=state.attempt.begun.changes,
        last=last_read(state),
        attempt=attempt,
    )


# -- what a state allows --------------------------------------------------------------------


def current_attempt(state: State) -> Attempt | None:
    """Return the refresh that is under way, given up or not."""
    return state.attempt if isinstance(state, Refreshing | Failing) else None


def last_read(state: State) -> Fresh | NoTables:
    """Return what the last refresh that succeeded came to."""
    if isinstance(state, Refreshing):
        state = state.before
    return state.last if isinstance(state, Failing) else state


def failure(state: State) -> Failing | None:
    """Return the failure that no refresh has ended yet."""
    if isinstance(state, Refreshing):
        state = state.before
    return state if isinstance(state, Failing) else None


def is_fresh(state: State, bounds: Bounds, now: Moment) -> bool:
    """Whether what is held is recent enough that no request needs a refresh."""
    return _is_young(last_read(state), bounds, now, ages=1)


def may_go_on(state: State, bounds: Bounds, now: Moment) -> bool:
    """Whether requests may go on with what is held, although a refresh is due."""
    failing = failure(state)
    if failing is None:
        if isinstance(state, Refreshing) and state.attempt.is_answered:
            # The database answers, and rows are read and compiled, for as long as that takes.
            if state.attempt.hangs(now):
                return False
            now = Moment(state.attempt.begun.at, now.changes)
        return _is_young(last_read(state), bounds, now, ages=2)
    # What this process has committed since, it must see: the database is back.
    return failing.is_certain(now) and failing.changes == now.changes


def is_too_stale(state: State, bounds: Bounds, now: Moment) -> bool:
    """Whether refreshes have failed for so long that what is held must not serve any more."""
    read = last_read(state).read
    return failure(state) is not None and (
        read is None or now.at - read.at > bounds.policy_max_staleness
    )


def needs_nobody(state: State, bounds: Bounds, now: Moment) -> bool:
    """Whether requests go on with what is held, and none of them needs to begin a refresh."""
    is_idle = not isinstance(state, Refreshing) and (
        not isinstance(state, Failing) or (now.at >= state.next_try)
    )
    if is_idle:
        return False
    return may_go_on(state, bounds, now) and not is_too_stale(state, bounds, now)


def has_seen(attempt: Attempt, needed: Moment, bounds: Bounds, now: Moment) -> bool:
    """Whether a refresh saw all that was committed by ``needed``, and no machine slept since."""
    lately = now.at - attempt.begun.at < max(2 * (bounds.policy_max_age or 0), ANSWER_SECONDS)
    return attempt.begun.changes >= needed.changes and lately


def _is_young(state: Fresh | NoTables, bounds: Bounds, now: Moment, *, ages: int) -> bool:
    read = state.read
    if read is None or read.changes != now.changes:
        return False
    return bounds.policy_max_age is None or now.at - read.at < ages * bounds.policy_max_age
