"""The policy in force: looked at in time, swapped whole, never older than promised."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings

from apiguard.concurrency import FIRST_PAUSE
from apiguard.models import PolicyState, Route
from apiguard.models.state import committed
from apiguard.policy import load
from apiguard.policy.holder import PolicyHolder, PolicyUnavailable
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


def test_it_looks_once_per_max_age_and_once_is_one_query(holder, clock):
    add_route("a")
    held = holder.snapshot()
    with CaptureQueriesContext(connection) as quiet:
        clock.forward(AGE * 0.99)
        assert holder.snapshot() is held
        assert holder.ready() is held
    clock.forward(AGE * 0.02)
    assert holder.ready() is None
    with CaptureQueriesContext(connection) as looked:
        assert holder.snapshot() is held
    assert (len(quiet), len(looked)) == (0, 1)


def test_a_change_elsewhere_is_seen_when_a_look_is_due(holder, clock):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    assert names(holder.snapshot()) == set()
    clock.forward(AGE)
    assert names(holder.snapshot()) == {"a"}


def test_a_change_of_this_process_is_seen_at_once(holder):
    holder.snapshot()
    add_route("a")
    assert holder.ready() is None
    assert names(holder.snapshot()) == {"a"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"revision": 1, "stamp": "other"}, id="a smaller revision"),
        pytest.param({"stamp": "other"}, id="the same revision with another stamp"),
    ],
)
def test_policy_is_stale_when_it_differs_not_when_it_is_smaller(holder, clock, values):
    add_route("a")
    add_route("b")
    holder.snapshot()
    PolicyState.objects.update(**values, recent=[])
    elsewhere(lambda: Route._base_manager.filter(name="a")._raw_delete("default"))
    clock.forward(AGE)
    assert names(holder.snapshot()) == {"b"}


def test_a_failed_write_is_not_a_reason_to_look(holder):
    held = holder.snapshot()
    with suppress(ZeroDivisionError), transaction.atomic():
        add_route("a")
        raise ZeroDivisionError
    with CaptureQueriesContext(connection) as quiet:
        assert holder.snapshot() is held
    assert len(quiet) == 0


def test_a_change_that_is_committed_during_a_look_makes_the_next_request_look(holder, monkeypatch):
    holder.snapshot()
    look = load.state

    def look_too_early():
        seen = look()
        monkeypatch.setattr(load, "state", look)
        add_route("late")
        return seen

    monkeypatch.setattr(load, "state", look_too_early)
    committed.note()
    assert names(holder.snapshot()) == set()
    assert names(holder.snapshot()) == {"late"}


def test_rows_are_read_again_if_the_revision_moved_meanwhile(holder, monkeypatch):
    read = load._all_rows

    def read_slowly():
        rows = read()
        if not Route.objects.filter(name="late").exists():
            add_route("late")
        return rows

    monkeypatch.setattr(load, "_all_rows", read_slowly)
    snapshot = holder.snapshot()
    assert names(snapshot) == {"late"}
    assert snapshot.revision == PolicyState.objects.get().revision


def test_policy_that_never_rests_is_not_read(holder, monkeypatch):
    read = load._all_rows

    def read_while_others_write():
        rows = read()
        Route.objects.update(cost=1)
        return rows

    monkeypatch.setattr(load, "_all_rows", read_while_others_write)
    with pytest.raises(PolicyUnavailable):
        holder.snapshot()


# -- several threads -------------------------------------------------------


def test_others_go_on_with_what_is_held_while_one_looks(holder, clock, blocked):
    held = holder.snapshot()
    elsewhere(lambda: add_route("a"))
    clock.forward(AGE * 1.5)
    blocked.arm()
    looker, seen = in_thread(holder.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    assert holder.snapshot() is held
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
def test_others_wait_where_what_is_held_may_be_too_old(holder, clock, blocked, make_due):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    make_due(clock)
    blocked.arm()
    looker, _ = in_thread(holder.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    waiting = [in_thread(holder.snapshot) for _ in range(8)]
    waiting[0][0].join(0.05)
    assert all(not answers for _, answers in waiting)
    blocked.let_go.set()
    for thread, answers in waiting:
        thread.join(SECONDS_TO_WAIT)
        assert names(answers[0]) == {"a"}
    looker.join(SECONDS_TO_WAIT)


def test_those_who_waited_do_not_look_again(holder, clock, blocked, monkeypatch):
    holder.snapshot()
    clock.forward(2 * AGE)
    blocked.arm()
    look, looks = load.state, []
    monkeypatch.setattr(load, "state", lambda: looks.append(1) or look())
    threads = [in_thread(holder.snapshot)[0]]
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    threads += [in_thread(holder.snapshot)[0] for _ in range(8)]
    blocked.let_go.set()
    for thread in threads:
        thread.join(SECONDS_TO_WAIT)
    assert len(looks) == 1


def test_while_the_database_is_away_only_one_request_waits_for_it(holder, clock, away, blocked):
    held = holder.snapshot()
    clock.forward(AGE)
    with away():
        assert holder.snapshot() is held
    clock.forward(FIRST_PAUSE)
    blocked.arm()
    looker, _ = in_thread(holder.snapshot)
    assert blocked.reached.wait(SECONDS_TO_WAIT)
    for _ in range(3):
        assert holder.snapshot() is held
        clock.forward(1)
    blocked.let_go.set()
    looker.join(SECONDS_TO_WAIT)


# -- a process that forgets ------------------------------------------------


def test_new_tables_make_it_forget(holder):
    add_route("a")
    holder.snapshot()
    committed.start_over()
    assert holder.ready() is None
    Route._base_manager.all()._raw_delete("default")
    assert names(holder.snapshot()) == set()


def test_an_override_is_judged_by_until_it_ends(holder):
    held = holder.snapshot()
    other = empty()
    with holder.override(other):
        assert holder.snapshot() is holder.ready() is other
    assert holder.snapshot() is held


@override_settings(APIGUARD={"POLICY_MAX_AGE": None})
def test_without_a_max_age_it_reads_only_after_changes_of_this_process(transactional_db):
    holder = PolicyHolder()
    with CaptureQueriesContext(connection) as quiet:
        assert names(holder.snapshot()) == set()
    assert len(quiet) == 0
    add_route("a")
    held = holder.snapshot()
    assert names(held) == {"a"}
    elsewhere(lambda: add_route("b"))
    assert holder.snapshot() is held
