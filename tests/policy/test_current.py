"""The policy in force: looked at in time, swapped whole, never older than promised."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from apiguard.models import PolicyState, Route
from apiguard.models.state import committed
from apiguard.policy import load
from apiguard.policy.backoff import FIRST_PAUSE
from apiguard.policy.current import Current, PolicyUnavailable
from apiguard.policy.snapshot import empty
from tests.policy.processes import (
    AGE,
    SECONDS_TO_WAIT,
    add_route,
    elsewhere,
    in_thread,
    names,
)

# -- looking ---------------------------------------------------------------


def test_it_looks_once_per_max_age_and_once_is_one_query(current, clock):
    add_route("a")
    held = current.snapshot()
    with CaptureQueriesContext(connection) as quiet:
        clock.forward(AGE * 0.99)
        assert current.snapshot() is held
        assert current.ready() is held
    clock.forward(AGE * 0.02)
    assert current.ready() is None
    with CaptureQueriesContext(connection) as looked:
        assert current.snapshot() is held
    assert (len(quiet), len(looked)) == (0, 1)


def test_a_change_elsewhere_is_seen_when_a_look_is_due(current, clock):
    current.snapshot()
    elsewhere(lambda: add_route("a"))
    assert names(current.snapshot()) == set()
    clock.forward(AGE)
    assert names(current.snapshot()) == {"a"}


def test_a_change_of_this_process_is_seen_at_once(current):
    current.snapshot()
    add_route("a")
    assert current.ready() is None
    assert names(current.snapshot()) == {"a"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"revision": 1, "stamp": "other"}, id="a smaller revision"),
        pytest.param({"stamp": "other"}, id="the same revision with another stamp"),
    ],
)
def test_policy_is_stale_when_it_differs_not_when_it_is_smaller(current, clock, values):
    add_route("a")
    add_route("b")
    current.snapshot()
    PolicyState.objects.update(**values, recent=[])
    elsewhere(lambda: Route._base_manager.filter(name="a")._raw_delete("default"))
    clock.forward(AGE)
    assert names(current.snapshot()) == {"b"}


def test_a_failed_write_is_not_a_reason_to_look(current):
    held = current.snapshot()
    with suppress(ZeroDivisionError), transaction.atomic():
        add_route("a")
        raise ZeroDivisionError
    with CaptureQueriesContext(connection) as quiet:
        assert current.snapshot() is held
    assert len(quiet) == 0


def test_a_change_that_is_committed_during_a_look_makes_the_next_request_look(current, monkeypatch):
    current.snapshot()
    look = load.state

    def look_too_early():
        seen = look()
        monkeypatch.setattr(load, "state", look)
        add_route("late")
        return seen

    monkeypatch.setattr(load, "state", look_too_early)
    committed.note()
    assert names(current.snapshot()) == set()
    assert names(current.snapshot()) == {"late"}


def test_rows_are_read_again_if_the_revision_moved_meanwhile(current, monkeypatch):
    read = load._all_rows

    def read_slowly():
        rows = read()
        if not Route.objects.filter(name="late").exists():
            add_route("late")
        return rows

    monkeypatch.setattr(load, "_all_rows", read_slowly)
    snapshot = current.snapshot()
    assert names(snapshot) == {"late"}
    assert snapshot.revision == PolicyState.objects.get().revision


def test_policy_that_never_rests_is_not_read(current, monkeypatch):
    read = load._all_rows

    def read_while_others_write():
        rows = read()
        Route.objects.update(cost=1)
        return rows

    monkeypatch.setattr(load, "_all_rows", read_while_others_write)
    with pytest.raises(PolicyUnavailable):
        current.snapshot()


# -- several threads -------------------------------------------------------


def test_others_go_on_with_what_is_held_while_one_looks(current, clock, blocked):
    held = current.snapshot()
    elsewhere(lambda: add_route("a"))
    clock.forward(AGE * 1.5)
    blocked.arm()
    looker, seen = in_thread(current.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    assert current.snapshot() is held
    blocked.let_go.set()
    looker.join(SECONDS_TO_WAIT)
    assert names(seen[0]) == {"a"}


@pytest.mark.parametrize(
    "make_due",
    [
        pytest.param(lambda clock: clock.forward(3600 * AGE), id="an idle worker"),
        pytest.param(lambda clock: clock.forward(2 * AGE), id="twice the age"),
        pytest.param(lambda clock: committed.note(), id="a change of this process"),
    ],
)
def test_others_wait_where_what_is_held_may_be_too_old(current, clock, blocked, make_due):
    current.snapshot()
    elsewhere(lambda: add_route("a"))
    make_due(clock)
    blocked.arm()
    looker, _ = in_thread(current.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    waiting = [in_thread(current.snapshot) for _ in range(8)]
    waiting[0][0].join(0.05)
    assert all(not answers for _, answers in waiting)
    blocked.let_go.set()
    for thread, answers in waiting:
        thread.join(SECONDS_TO_WAIT)
        assert names(answers[0]) == {"a"}
    looker.join(SECONDS_TO_WAIT)


def test_those_who_waited_do_not_look_again(current, clock, blocked, monkeypatch):
    current.snapshot()
    clock.forward(2 * AGE)
    blocked.arm()
    look, looks = load.state, []
    monkeypatch.setattr(load, "state", lambda: looks.append(1) or look())
    threads = [in_thread(current.snapshot)[0]]
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    threads += [in_thread(current.snapshot)[0] for _ in range(8)]
    blocked.let_go.set()
    for thread in threads:
        thread.join(SECONDS_TO_WAIT)
    assert len(looks) == 1


def test_while_the_database_is_away_only_one_request_waits_for_it(current, clock, away, blocked):
    held = current.snapshot()
    clock.forward(AGE)
    with away():
        assert current.snapshot() is held
    clock.forward(FIRST_PAUSE)
    blocked.arm()
    looker, _ = in_thread(current.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    for _ in range(3):
        assert current.snapshot() is held
        clock.forward(1)
    blocked.let_go.set()
    looker.join(SECONDS_TO_WAIT)


# -- a process that forgets ------------------------------------------------


def test_new_tables_make_it_forget(current):
    add_route("a")
    current.snapshot()
    committed.start_over()
    assert current.ready() is None
    Route._base_manager.all()._raw_delete("default")
    assert names(current.snapshot()) == set()


def test_an_override_is_judged_by_until_it_ends(current):
    held = current.snapshot()
    other = empty()
    with current.override(other):
        assert current.snapshot() is current.ready() is other
    assert current.snapshot() is held


@override_settings(APIGUARD={"POLICY_MAX_AGE": None})
def test_without_a_max_age_it_reads_only_after_changes_of_this_process(transactional_db):
    current = Current()
    with CaptureQueriesContext(connection) as quiet:
        assert names(current.snapshot()) == set()
    assert len(quiet) == 0
    add_route("a")
    held = current.snapshot()
    assert names(held) == {"a"}
    elsewhere(lambda: add_route("b"))
    assert current.snapshot() is held
