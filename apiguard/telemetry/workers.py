"""Which worker runs which policy, judged by the heartbeats of the workers.

An idle worker sends no heartbeat; it refreshes before it answers its next request,
so it does not lag, whatever it held. A worker that died looks the same, until its
last heartbeat expires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Min, Q
from django.utils import timezone

from .. import conf
from ..models import PolicyChange, PolicyState
from ..models.state import write_alias
from .heartbeats import Heartbeat, plain, sender
from .process import process_name
from .worker_registry import RegistryUnavailable, WorkerRegistry, read_within

# Besides twice POLICY_MAX_AGE: for the reload, the heartbeat, and clocks that differ.
MARGIN_SECONDS = 3.0
# The longest pause between failing refreshes; a worker sends no heartbeat in between.
LONGEST_PAUSE = 10.0
# How many revisions are looked up; of those before them only the last change is known.
MAX_REVISIONS = 20
# How long a page waits for the registry.
TIMEOUT_SECONDS = 0.5


class State(StrEnum):
    """How a worker stands to the policy in the database."""

    FAILING = "failing"
    LAGGING = "lagging"
    FOLLOWING = "following"
    CURRENT = "current"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Worker:
    """One process: what it said, how many seconds ago, and what follows from it.

    ``is_newest``: it holds what is in the database. ``behind``: for how many
    seconds its revision has been replaced; ``None`` where that is unknown.
    """

    process: str
    age: float
    heartbeat: Heartbeat
    state: State
    is_newest: bool
    behind: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers that are known of, those that need attention first.

    ``unseen`` is why others than this process are not among them: "memory",
    the class of an error, or "" where they are.
    """

    revision: int
    workers: tuple[Worker, ...] = ()
    unseen: str = ""

    def of(self, *states: State) -> list[Worker]:
        """Return the workers in one of these states."""
        return [worker for worker in self.workers if worker.state in states]

    @property
    def active(self) -> list[Worker]:
        """Those that have spoken lately."""
        return [worker for worker in self.workers if worker.state is not State.IDLE]

    @property
    def wrong(self) -> list[Worker]:
        """The workers that need attention."""
        return self.of(State.FAILING, State.LAGGING)

    @property
    def slowest(self) -> float | None:
        """Seconds until the policy in force was so in the last worker; ``None``: not known."""
        delays = (worker.heartbeat.delay for worker in self.of(State.CURRENT))
        return max((delay for delay in delays if delay is not None), default=None)

    @property
    def differing(self) -> list[Worker]:
        """Those that find more mistakes in the same policy than another one does."""
        current = self.of(State.CURRENT)
        fewest = min((worker.heartbeat.problems for worker in current), default=0)
        return [worker for worker in current if worker.heartbeat.problems > fewest]


def fleet(
    registry: WorkerRegistry | None,
    *,
    is_worker: bool,
    timeout: float | None = None,
    truth: PolicyState | None = None,
) -> Fleet:
    """Return every worker that has sent a heartbeat; a few queries, one round trip.

    Args:
        registry: ``None`` where workers share no store.
        is_worker: whether this process answers requests, and so is one of them.
        timeout: seconds to wait for the registry; ``None``: as long as its client does.
        truth: the state of the policy in the database; it is read if it is not given.
    """
    heartbeats, unseen = _read_heartbeats(registry, timeout)
    own = sender.now() if is_worker else None
    if own is not None:
        heartbeats[process_name()] = (0.0, own)
    if truth is None:
        truth = PolicyState.objects.using(write_alias()).filter(pk=1).first() or PolicyState()
    judged = judge(
        ((process, age, heartbeat) for process, (age, heartbeat) in heartbeats.items()),
        (truth.revision, truth.stamp),
        replaced=_replaced(truth, {heartbeat.revision for _age, heartbeat in heartbeats.values()}),
        max_age=conf.current().policy_max_age,
    )
    return Fleet(truth.revision, judged, unseen)


def judge(
    heartbeats: Iterable[tuple[str, float, Heartbeat]],
    truth: tuple[int, str],
    *,
    replaced: Callable[[int | None], float | None],
    max_age: float | None,
) -> tuple[Worker, ...]:
    """Return workers of (process, age, heartbeat), those that need attention first.

    Args:
        truth: revision and stamp in the database.
        replaced: for how many seconds a revision has not been the newest;
            ``None`` where that is not known.
        max_age: POLICY_MAX_AGE.
    """
    bound = 2 * (1.0 if max_age is None else max_age) + MARGIN_SECONDS
    order = list(State)
    found = [_judged(*given, truth, replaced, bound) for given in heartbeats]
    return tuple(sorted(found, key=lambda worker: (order.index(worker.state), worker.process)))


def _judged(
    process: str,
    age: float,
    heartbeat: Heartbeat,
    truth: tuple[int, str],
    replaced: Callable[[int | None], float | None],
    bound: float,
) -> Worker:
    is_stuck = heartbeat.refreshing_for is not None and heartbeat.refreshing_for > bound
    is_failing = heartbeat.failing is not None or is_stuck
    is_newest = (heartbeat.revision, heartbeat.stamp) == truth
    if age > bound + (LONGEST_PAUSE if is_failing else 0):
        return Worker(process, age, heartbeat, State.IDLE, is_newest)
    behind = None if is_newest else replaced(heartbeat.revision)
    if is_failing:
        state = State.FAILING
    elif is_newest:
        state = State.CURRENT
    # What counts is how far behind it was when it spoke.
    elif behind is None or behind - age > bound:
        state = State.LAGGING
    else:
        state = State.FOLLOWING
    return Worker(process, age, heartbeat, state, is_newest, behind)


def _replaced(truth: PolicyState, held: set[int | None]) -> Callable[[int | None], float | None]:
    """For how many seconds each of these revisions has not been the newest."""
    older = sorted(revision for revision in held - {None, truth.revision} if revision is not None)
    looked_up = older[-MAX_REVISIONS:]
    replaced_at: dict[int, datetime | None] = {}
    if looked_up:
        changes = PolicyChange.objects.using(write_alias()).filter(revision__gt=looked_up[0])
        first = {f"r{each}": Min("at", filter=Q(revision__gt=each)) for each in looked_up}
        found = changes.aggregate(**first)
        replaced_at = {each: found[f"r{each}"] for each in looked_up}

    def replaced(revision: int | None) -> float | None:
        at = replaced_at.get(revision or 0) or truth.changed_at
        return None if at is None else max(0.0, (timezone.now() - at).total_seconds())

    return replaced


def _read_heartbeats(
    registry: WorkerRegistry | None, timeout: float | None
) -> tuple[dict[str, tuple[float, Heartbeat]], str]:
    """Process -> age and heartbeat, and why there is nothing to be heard."""
    if registry is None:
        return {}, "memory"
    try:
        words = registry.read() if timeout is None else read_within(registry, timeout)
    except RegistryUnavailable as error:
        return {}, str(error)
    read = ((plain(word.process, 200), word.age, Heartbeat.parse(word.text)) for word in words)
    return {name: (age, heartbeat) for name, age, heartbeat in read if name and heartbeat}, ""
