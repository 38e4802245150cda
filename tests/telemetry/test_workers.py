"""Who lags, who follows, who is idle: judged by what workers said of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apiguard.models import PolicyChange, PolicyState, Tier
from apiguard.policy.status import PolicyStatus
from apiguard.telemetry import workers as module
from apiguard.telemetry.heartbeats import Heartbeat, sender
from apiguard.telemetry.process import process_name
from apiguard.telemetry.worker_registry import RegistryEntry, RegistryUnavailable
from apiguard.telemetry.worker_text import difference, remedy, sentence, summary
from apiguard.telemetry.workers import Fleet, State, fleet, judge

TRUTH = (418, "ab12")
BOUND = 2 * 1.0 + module.MARGIN_SECONDS
NOW = datetime(2026, 1, 2, 12, 5, tzinfo=UTC)
GOOD = Heartbeat(418, "ab12", 0.2, 0.6)
OLD = Heartbeat(417, "cd34", 0.2, 0.6)


def judged(heartbeat, age=0.5, replaced=None, max_age=1.0):
    (worker,) = judge(
        [("web:1", age, heartbeat)], TRUTH, replaced=lambda _: replaced, max_age=max_age
    )
    return worker


@pytest.mark.parametrize(
    ("heartbeat", "age", "replaced", "state"),
    [
        pytest.param(GOOD, 0.5, None, "current", id="on the revision in force"),
        pytest.param(OLD, 0.5, 1.0, "following", id="replaced a moment ago"),
        pytest.param(OLD, 0.5, BOUND + 0.4, "following", id="within the bound when it spoke"),
        pytest.param(OLD, 0.5, BOUND + 0.6, "lagging", id="replaced for longer than the bound"),
        pytest.param(OLD, 0.5, None, "lagging", id="a revision of unknown age"),
        pytest.param(Heartbeat(418, "ff"), 0, 60.0, "lagging", id="the number with another stamp"),
        pytest.param(Heartbeat(500, "ff"), 0, 60.0, "lagging", id="a number yet to come"),
        pytest.param(
            Heartbeat(), 0.5, 60.0, "lagging", id="holds nothing although it checks the database"
        ),
        pytest.param(OLD, BOUND + 1, 600.0, "idle", id="says nothing, whatever it held"),
        pytest.param(GOOD, BOUND + 1, None, "idle", id="says nothing, and held the newest"),
        pytest.param(Heartbeat(417, "cd", failing=40.0), 8.0, 60, "failing", id="cannot look"),
        pytest.param(Heartbeat(418, "ab12", failing=4.0), 0.5, None, "failing", id="newest, blind"),
        pytest.param(Heartbeat(failing=4.0), 0.5, 60.0, "failing", id="never could look"),
        pytest.param(Heartbeat(417, "cd", failing=40.0), 16.0, 60, "idle", id="failed, then idle"),
        pytest.param(
            Heartbeat(418, "ab12", refreshing_for=BOUND + 1), 0.5, None, "failing", id="hangs"
        ),
        pytest.param(
            Heartbeat(418, "ab12", refreshing_for=0.1), 0.5, None, "current", id="looks just now"
        ),
    ],
)
def test_the_state_of_a_worker_follows_from_its_heartbeat_and_its_age(
    heartbeat, age, replaced, state
):
    assert judged(heartbeat, age, replaced).state == state


def test_who_looks_seldom_is_given_more_time():
    assert judged(OLD, 0.5, 100.0, max_age=60.0).state is State.FOLLOWING
    assert judged(OLD, 100.0, 100.0, max_age=60.0).state is State.FOLLOWING
    assert judged(OLD, 124.0, 200.0, max_age=60.0).state is State.IDLE


def test_those_in_need_of_somebody_come_first():
    given = [
        ("b:1", 60.0, GOOD),
        ("a:1", 0.5, GOOD),
        ("d:1", 0.5, OLD),
        ("c:1", 0.5, Heartbeat(failing=1.0)),
    ]
    found = judge(given, TRUTH, replaced=lambda _: None, max_age=1.0)
    assert [worker.process for worker in found] == ["c:1", "d:1", "a:1", "b:1"]


heartbeats = st.builds(
    Heartbeat,
    st.none() | st.integers(0, 2**63 - 1),
    st.sampled_from(["", "ab12", "x"]),
    *[st.none() | st.floats(0, 1e9)] * 4,
)


@given(heartbeats, st.floats(0, 900), st.none() | st.floats(0, 1e9))
def test_every_report_gets_a_state_and_words(heartbeat, age, replaced):
    worker = judged(heartbeat, age, replaced)
    assert worker.process in sentence(worker, NOW)
    assert bool(remedy(worker, NOW)) is (worker.state in (State.FAILING, State.LAGGING))
    assert summary(Fleet(418, (worker,)))


def seen(*given, unseen=""):
    found = judge(
        [(f"web:{n}", age, heartbeat) for n, (heartbeat, age) in enumerate(given)],
        TRUTH,
        replaced=lambda revision: 1.0 if revision == 417 else 60.0,
        max_age=1.0,
    )
    return Fleet(418, found, unseen)


SLOW = Heartbeat(418, "ab12", 0.2, 1.24)
STUCK = Heartbeat(400, "ee", 0.2)


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        pytest.param(
            seen((GOOD, 0.5), (SLOW, 0.1)),
            "2 of 2 workers on revision 418, slowest 1.2 s.",
            id="all",
        ),
        pytest.param(seen((GOOD, 0)), "1 of 1 worker on revision 418, slowest 0.6 s.", id="one"),
        pytest.param(
            seen((Heartbeat(418, "ab12"), 0)), "1 of 1 worker on revision 418.", id="never waited"
        ),
        pytest.param(
            seen((GOOD, 0), (OLD, 0.5), (STUCK, 0.1), (GOOD, 60), (OLD, 90)),
            "1 of 3 workers on revision 418, slowest 0.6 s. 1 is about to follow. "
            "2 are idle: they check the database before they answer.",
            id="of every kind",
        ),
        pytest.param(
            seen((GOOD, 0), (Heartbeat(418, "ab12", failing=4.0), 0)),
            "2 of 2 workers on revision 418, slowest 0.6 s.",
            id="one is blind, and on it",
        ),
        pytest.param(
            seen((GOOD, 60)), "1 is idle: it checks the database before it answers.", id="idle"
        ),
        pytest.param(Fleet(418), "No worker has reported in the last 15 minutes.", id="nobody"),
        pytest.param(
            Fleet(418, (), "memory"),
            "Limits are counted in each process's memory; other workers cannot be seen.",
            id="memory, from outside",
        ),
        pytest.param(
            seen((GOOD, 0), unseen="memory"),
            "Limits are counted in each process's memory; other workers cannot be seen. "
            "This worker is on revision 418.",
            id="memory",
        ),
        pytest.param(
            seen((Heartbeat(), 0), unseen="ConnectionError"),
            "The counter's Redis does not answer (ConnectionError); other workers cannot be seen. "
            "This worker holds no policy.",
            id="Redis away",
        ),
    ],
)
def test_a_sentence_says_how_many_run_what(workers, said):
    assert summary(workers) == said


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        pytest.param(
            judged(
                Heartbeat(417, "cd", 130.0, failing=119.0, error="OperationalError: away"), 1.0, 9
            ),
            "web:1 is on revision 417, its database check fails since 12:03:00 UTC: "
            "OperationalError: away",
            id="failing",
        ),
        pytest.param(
            judged(Heartbeat(failing=59.0), 1.0),
            "web:1 holds no policy, its database check fails since 12:04:00 UTC: ?",
            id="failing from the start",
        ),
        pytest.param(
            judged(Heartbeat(417, "cd", refreshing_for=59.0), 1.0),
            "web:1 is on revision 417, and has waited for the database since 12:04:00 UTC.",
            id="hanging",
        ),
        pytest.param(
            judged(OLD, 0.5, 40.0),
            "web:1 is on revision 417, replaced 40 s ago, "
            "although it checked the database 0.7 s ago.",
            id="lagging",
        ),
        pytest.param(
            judged(Heartbeat(), 0.5, 40.0),
            "web:1 holds no policy, although it checks the database.",
            id="nothing",
        ),
        pytest.param(
            judged(GOOD, 240.0),
            "web:1 has been idle for 4 min: it checks the database before it answers.",
            id="idle",
        ),
        pytest.param(judged(GOOD), "web:1 is on revision 418.", id="current"),
    ],
)
def test_a_worker_is_named_with_what_is_the_matter(worker, said):
    with timezone.override("UTC"):
        assert sentence(worker, NOW) == said


@pytest.mark.parametrize(
    ("heartbeat", "said"),
    [
        pytest.param(
            Heartbeat(1, "a", 899.0, failing=890.0),
            "It goes on with what it holds until 12:50:00 UTC, then answers 503.",
            id="not for ever",
        ),
        pytest.param(Heartbeat(1, "a", 3600.0, failing=3.0), "It answers 503.", id="too long"),
        pytest.param(Heartbeat(failing=1.0), "It answers 503.", id="nothing held"),
    ],
)
def test_it_is_reported_until_when_a_worker_without_its_database_goes_on(heartbeat, said):
    with override_settings(APIGUARD={"POLICY_MAX_STALENESS": 3600}), timezone.override("UTC"):
        words = remedy(judged(heartbeat, age=1.0), NOW)
    assert words == f"{said} See that its machine reaches the database."


def test_workers_that_judge_the_same_policy_differently_are_named():
    odd = Heartbeat(418, "ab12", problems=2)
    workers = seen((GOOD, 0), (odd, 0), (Heartbeat(417, "cd34", problems=9), 0.5))
    (differing,) = workers.differing
    assert differing.heartbeat == odd
    assert "web:1 finds more mistakes (2)" in difference(differing)
    assert seen((odd, 0), (odd, 0)).differing == []


class Told:
    """A registry with these words on it, or an error instead."""

    def __init__(self, *words, error=None):
        self._words, self._error = words, error

    def read(self):
        if self._error:
            raise self._error
        return list(self._words)


@pytest.fixture
def policy(db, monkeypatch):
    """Three revisions, of which the first was replaced a minute ago; the last is held here."""
    for slug in "abc":
        Tier.objects.create(slug=slug, name=slug)
    state = PolicyState.objects.get()
    ago = {state.revision: timedelta(0), state.revision - 1: timedelta(minutes=1)}
    for revision, age in ago.items():
        PolicyChange.objects.filter(revision=revision).update(at=timezone.now() - age)
    held = PolicyStatus(state.revision, state.stamp)
    monkeypatch.setattr(sender, "_status", lambda: held)
    return state


def test_a_worker_is_as_far_behind_as_the_first_change_it_did_not_see(policy):
    held = Heartbeat(policy.revision - 2, "x", 0.2)
    told = fleet(Told(RegistryEntry("web:1", 0.5, held.text())), is_worker=False)
    (worker,) = told.workers
    assert worker.state is State.LAGGING
    assert 60 <= worker.behind < 3600
    assert told.revision == policy.revision


def test_a_worker_that_has_just_missed_a_change_follows(policy):
    held = Heartbeat(policy.revision - 1, "x", 0.2)
    (worker,) = fleet(Told(RegistryEntry("web:1", 0.5, held.text())), is_worker=False).workers
    assert worker.state is State.FOLLOWING


def test_garbage_on_the_board_is_nobody(policy):
    good = Heartbeat(policy.revision, policy.stamp)
    words = [
        RegistryEntry("web:1", 0.5, good.text()),
        RegistryEntry("web:2", 0.5, "garbage"),
        RegistryEntry("", 0.5, good.text()),
        RegistryEntry("\x00\n", 0.5, good.text()),
    ]
    told = fleet(Told(*words), is_worker=False, timeout=20)
    assert [worker.process for worker in told.workers] == ["??", "web:1"]


def test_a_process_that_answers_requests_is_one_of_them_by_what_it_knows_now(policy):
    stale = RegistryEntry(process_name(), 300.0, Heartbeat(1, "x").text())
    told = fleet(Told(stale), is_worker=True)
    (worker,) = told.workers
    assert (worker.process, worker.age) == (process_name(), 0)
    assert fleet(Told(stale), is_worker=False).workers[0].state is State.IDLE


@pytest.mark.parametrize("timeout", [None, 20])
def test_a_store_that_cannot_be_read_is_reported_and_this_process_still_seen(policy, timeout):
    away = Told(error=RegistryUnavailable("ConnectionError"))
    told = fleet(away, is_worker=True, timeout=timeout)
    assert (told.unseen, len(told.workers)) == ("ConnectionError", 1)
    assert fleet(None, is_worker=False) == Fleet(policy.revision, (), "memory")


def test_before_anything_was_published_everybody_is_on_revision_0(db):
    told = fleet(Told(RegistryEntry("web:1", 0.5, Heartbeat(0, "").text())), is_worker=False)
    assert [worker.state for worker in told.workers] == [State.CURRENT]


@pytest.mark.parametrize("count", [1, 50])
def test_the_database_is_asked_the_same_few_times_however_many_lag(
    policy, count, django_assert_num_queries
):
    held = Heartbeat(policy.revision - 2, "x", 0.2).text()
    registry = Told(*(RegistryEntry(f"web:{n}", 0.5, held) for n in range(count)))
    with django_assert_num_queries(2):
        assert len(fleet(registry, is_worker=False).wrong) == count


def test_of_many_revisions_only_the_last_are_looked_up(policy, django_assert_num_queries):
    held = [Heartbeat(10**6 + number, "x", 0.2).text() for number in range(100)]
    registry = Told(*(RegistryEntry(f"web:{n}", 0.5, text) for n, text in enumerate(held)))
    with django_assert_num_queries(2):
        assert len(fleet(registry, is_worker=False).workers) == 100
