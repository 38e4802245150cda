"""The states of a policy refresh: a table of what follows from what, and of what a state allows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.concurrency import LONGEST_PAUSE
from apiguard.policy.refresh import (
    ANSWER_SECONDS,
    RELOAD_SECONDS,
    Answered,
    Attempt,
    Failed,
    Failing,
    Fresh,
    Moment,
    Needed,
    NoTables,
    Refreshing,
    Succeeded,
    TimedOut,
    current_attempt,
    failure,
    has_seen,
    is_fresh,
    is_too_stale,
    last_read,
    may_go_on,
    needs_nobody,
    step,
)

BOUNDS = SimpleNamespace(policy_max_age=1.0, policy_max_staleness=60.0)
NO_AGE = SimpleNamespace(policy_max_age=None, policy_max_staleness=60.0)

READ = Moment(100.0, 7)
FRESH, NO_TABLES, NEVER = Fresh(READ), NoTables(READ), Fresh()
FIRST = Attempt(1, Moment(101.0, 7))
SECOND = Attempt(2, Moment(110.0, 7))
ONCE = Failing(101.5, 102.5, 1.0, 7, FRESH)
TWICE = Failing(101.5, 105.0, 2.0, 7, FRESH)
NEEDED = Needed(2, BOUNDS)


def at(seconds, changes=7):
    return Moment(seconds, changes)


@pytest.mark.parametrize(
    ("state", "event", "now", "following"),
    [
        # What begins a refresh.
        (NEVER, NEEDED, at(110), Refreshing(SECOND, NEVER)),
        (FRESH, NEEDED, at(100.9), FRESH),
        (FRESH, NEEDED, at(110), Refreshing(SECOND, FRESH)),
        (FRESH, NEEDED, at(100.9, 8), Refreshing(Attempt(2, at(100.9, 8)), FRESH)),
        (FRESH, Needed(2, NO_AGE), at(9999), FRESH),
        (NO_TABLES, NEEDED, at(100.9), NO_TABLES),
        (NO_TABLES, NEEDED, at(110), Refreshing(SECOND, NO_TABLES)),
        (ONCE, NEEDED, at(102.4), ONCE),
        (ONCE, NEEDED, at(110), Refreshing(SECOND, ONCE)),
        # A change of this process ends a pause.
        (ONCE, NEEDED, at(102.4, 8), Refreshing(Attempt(2, at(102.4, 8)), ONCE)),
        # One at a time.
        (Refreshing(FIRST, FRESH), NEEDED, at(110), Refreshing(FIRST, FRESH)),
        (Refreshing(FIRST, FRESH), NEEDED, at(110, 8), Refreshing(FIRST, FRESH)),
        # How one ends.
        (Refreshing(FIRST, FRESH), Succeeded(1), at(101.2), Fresh(FIRST.begun)),
        (Refreshing(FIRST, ONCE), Succeeded(1), at(103), Fresh(FIRST.begun)),
        (Refreshing(FIRST, NEVER), Succeeded(1, False), at(101.2), NoTables(FIRST.begun)),
        (Refreshing(FIRST, NO_TABLES), Succeeded(1), at(101.2), Fresh(FIRST.begun)),
        (Refreshing(FIRST, FRESH), Failed(1), at(101.5), ONCE),
        (Refreshing(FIRST, ONCE), Failed(1), at(103), TWICE),
        (
            Refreshing(FIRST, FRESH),
            TimedOut(1),
            at(103),
            Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST),
        ),
        # One that was given up may end well, and else was counted already.
        (Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST), Succeeded(1), at(109), Fresh(FIRST.begun)),
        (
            Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST),
            Failed(1),
            at(109),
            Failing(103.0, 104.0, 1.0, 7, FRESH),
        ),
        # While it hangs, another one follows after the pause, and then replaces it.
        (
            Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST),
            NEEDED,
            at(103.5),
            Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST),
        ),
        (
            Failing(103.0, 104.0, 1.0, 7, FRESH, FIRST),
            NEEDED,
            at(110),
            Refreshing(SECOND, Failing(103.0, 104.0, 1.0, 7, FRESH)),
        ),
        (Refreshing(SECOND, ONCE), Succeeded(1), at(111), Refreshing(SECOND, ONCE)),
        (Refreshing(SECOND, ONCE), Failed(1), at(111), Refreshing(SECOND, ONCE)),
        (Fresh(SECOND.begun), Succeeded(1), at(111), Fresh(SECOND.begun)),
        (Fresh(SECOND.begun), TimedOut(1), at(111), Fresh(SECOND.begun)),
        # A second try that hangs while nobody waits for it.
        (
            Refreshing(FIRST, ONCE),
            NEEDED,
            at(103.4),
            Failing(101.5, 105.4, 2.0, 7, FRESH, FIRST),
        ),
        # What was answered takes longer before it hangs.
        (
            Refreshing(FIRST, ONCE),
            Answered(1),
            at(101.1),
            Refreshing(Attempt(1, FIRST.begun, True), ONCE),
        ),
        (
            Refreshing(Attempt(1, FIRST.begun, True), ONCE),
            NEEDED,
            at(103.4),
            Refreshing(Attempt(1, FIRST.begun, True), ONCE),
        ),
    ],
)
def test_what_follows(state, event, now, following):
    assert step(state, event, now) == following


RELOADING = Refreshing(replace(FIRST, is_answered=True), FRESH)


@pytest.mark.parametrize(
    ("state", "now", "allowed"),
    [
        # (fresh, may go on, needs nobody, too stale)
        pytest.param(NEVER, at(100), "----", id="nothing was read yet"),
        pytest.param(FRESH, at(100.9), "fg--", id="just read"),
        pytest.param(FRESH, at(101.5), "-g--", id="due, and one must begin it"),
        pytest.param(FRESH, at(102.0), "----", id="as old as may be"),
        pytest.param(FRESH, at(100.1, 8), "----", id="this process has changed something"),
        pytest.param(Refreshing(FIRST, FRESH), at(101.5), "-gn-", id="others go on"),
        pytest.param(Refreshing(FIRST, FRESH), at(102.0), "----", id="others wait"),
        pytest.param(RELOADING, at(112.0), "-gn-", id="others go on while rows are read"),
        pytest.param(RELOADING, at(112.0, 8), "----", id="a change of this process is waited for"),
        pytest.param(RELOADING, at(121.0), "----", id="rows are read for too long"),
        pytest.param(
            Refreshing(replace(SECOND, is_answered=True), FRESH),
            at(112.0),
            "----",
            id="what is held was too old when rows began to be read",
        ),
        pytest.param(ONCE, at(102.0), "-gn-", id="known to be away"),
        pytest.param(ONCE, at(103.0), "-g--", id="the next try is due"),
        pytest.param(ONCE, at(104.6), "----", id="an old failure says nothing of now"),
        pytest.param(ONCE, at(102.0, 8), "----", id="changed since: it is back"),
        pytest.param(Refreshing(SECOND, ONCE), at(103.0), "-gn-", id="one tries again"),
        pytest.param(
            Failing(101.5, 170.0, 10.0, 7, FRESH), at(161), "-g-s", id="held for too long"
        ),
        pytest.param(Failing(101.5, 102.5, 1.0, 7, NEVER), at(102), "-g-s", id="never had any"),
    ],
)
def test_what_a_state_allows(state, now, allowed):
    answers = {
        "f": is_fresh(state, BOUNDS, now),
        "g": may_go_on(state, BOUNDS, now),
        "n": needs_nobody(state, BOUNDS, now),
        "s": is_too_stale(state, BOUNDS, now),
    }
    assert "".join(letter if answer else "-" for letter, answer in answers.items()) == allowed


@pytest.mark.parametrize(
    ("is_answered", "seconds", "hangs"),
    [
        (False, ANSWER_SECONDS - 0.1, False),
        (False, ANSWER_SECONDS, True),
        (True, ANSWER_SECONDS, False),
        (True, RELOAD_SECONDS, True),
    ],
)
def test_when_a_refresh_hangs(is_answered, seconds, hangs):
    assert Attempt(1, at(100), is_answered).hangs(at(100 + seconds)) == hangs


@pytest.mark.parametrize(
    ("needed", "now", "seen"),
    [
        pytest.param(at(101.1), at(101.2), True, id="it began before, and recently"),
        pytest.param(at(101.1, 8), at(101.2), False, id="a change came after it began"),
        pytest.param(at(101.1), at(103.0), False, id="the machine slept"),
    ],
)
def test_whether_a_refresh_is_good_enough_for_a_request_that_waited(needed, now, seen):
    assert has_seen(FIRST, needed, BOUNDS, now) == seen


events = st.sampled_from(["need", "answer", "succeed", "no tables", "fail", "time out", "change"])


@given(st.lists(st.tuples(events, st.integers(0, 3), st.floats(0, 30))))
def test_whatever_happens_reads_never_go_back_pauses_are_bounded_and_it_recovers(happenings):
    state, now, number = Fresh(), at(100.0), 0
    for what, back, seconds in happenings:
        now = Moment(now.at + seconds, now.changes + (what == "change"))
        before = last_read(state).read
        named = max(0, number - back)
        number += what == "need"
        event = {
            "need": Needed(number, BOUNDS),
            "change": Needed(number, BOUNDS),
            "answer": Answered(named),
            "succeed": Succeeded(named),
            "no tables": Succeeded(named, False),
            "fail": Failed(named),
            "time out": TimedOut(named),
        }[what]
        state = step(state, event, now) if what != "change" else state
        after = last_read(state).read
        assert before is None or after.at >= before.at
        failing = failure(state)
        assert failing is None or failing.pause <= LONGEST_PAUSE
        assert failing is None or failing.next_try <= now.at + LONGEST_PAUSE
    later = Moment(now.at + RELOAD_SECONDS + LONGEST_PAUSE, now.changes)
    state = step(state, Needed(number + 1, BOUNDS), later)
    # One that hangs unnoticed is given up first.
    if current_attempt(state).number != number + 1:
        state = step(state, TimedOut(current_attempt(state).number), later)
        later = Moment(later.at + LONGEST_PAUSE, later.changes)
        state = step(state, Needed(number + 1, BOUNDS), later)
    state = step(state, Succeeded(number + 1), later)
    assert state == Fresh(later)
