"""What a process tells of its policy."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from apiguard.models import PolicyState, Route
from apiguard.policy.backoff import FIRST_PAUSE
from apiguard.policy.current import PolicyUnavailable
from apiguard.policy.standing import LONGEST_ERROR, Standing, told
from tests.policy.processes import AGE, add_route, elsewhere


def test_who_never_looked_has_nothing_to_tell(current):
    assert current.standing() == Standing()


def test_policy_that_was_found_in_force_has_no_delay(current):
    add_route("a")
    held = current.snapshot()
    standing = current.standing()
    assert (standing.revision, standing.stamp) == (held.revision, held.stamp)
    assert standing.looked_at <= standing.in_force_since
    assert (standing.delay, standing.failed_since, standing.error) == (None, None, "")


def test_a_change_has_taken_some_time(current, clock):
    current.snapshot()
    elsewhere(lambda: add_route("a"))
    clock.forward(AGE)
    current.snapshot()
    standing = current.standing()
    published = PolicyState.objects.get().changed_at.timestamp()
    assert standing.delay == pytest.approx(standing.in_force_since - published)
    assert standing.delay >= 0


def test_a_look_that_finds_nothing_new_is_a_look_all_the_same(current, clock):
    current.snapshot()
    before = current.standing()
    clock.forward(AGE)
    current.snapshot()
    after = current.standing()
    assert after.looked_at > before.looked_at
    assert after.in_force_since == before.in_force_since


def test_clocks_that_differ_make_no_negative_delay(current, clock):
    current.snapshot()
    elsewhere(lambda: add_route("a"))
    PolicyState.objects.update(changed_at="2100-01-01T00:00:00Z")
    clock.forward(AGE)
    current.snapshot()
    assert current.standing().delay == 0


def test_a_revision_of_an_older_apiguard_has_no_delay(current, clock):
    current.snapshot()
    elsewhere(lambda: add_route("a"))
    PolicyState.objects.update(changed_at=None)
    clock.forward(AGE)
    current.snapshot()
    assert current.standing().delay is None


def test_failures_are_told_with_the_first_moment_and_the_last_error(current, clock, away):
    held = current.snapshot()
    with away():
        clock.forward(AGE)
        current.snapshot()
        first = current.standing()
        clock.forward(FIRST_PAUSE)
        current.snapshot()
    assert (first.revision, first.error) == (held.revision, "OperationalError: away")
    assert current.standing().failed_since == first.failed_since is not None
    clock.forward(2 * FIRST_PAUSE)
    current.snapshot()
    assert (current.standing().failed_since, current.standing().error) == (None, "")


def test_who_never_had_any_policy_tells_why(current, away):
    with away(), pytest.raises(PolicyUnavailable):
        current.snapshot()
    standing = current.standing()
    assert (standing.revision, standing.error) == (None, "OperationalError: away")


def test_problems_are_counted(current):
    Route._base_manager.bulk_create([Route(name="a", path_prefix="no prefix")])
    snapshot = current.snapshot()
    assert current.standing().problems == len(snapshot.problems) > 0


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param("away", "OperationalError: away", id="plain"),
        pytest.param("", "OperationalError", id="none"),
        pytest.param("first\nsecond", "OperationalError: first", id="the first line"),
        pytest.param(
            'invalid dsn "postgres://me:secret@db/site" here',
            'OperationalError: invalid dsn "(hidden) here',
            id="a URL",
        ),
        pytest.param(
            "host=db password=secret user=me",
            "OperationalError: host=db (hidden) user=me",
            id="DSN",
        ),
        pytest.param(
            "PASSWORD = 'two secrets' user=me", "OperationalError: (hidden) user=me", id="quoted"
        ),
    ],
)
def test_an_error_is_told_in_one_line_without_secrets(message, shown):
    assert told(OperationalError(message)) == shown


def test_an_error_is_told_in_short():
    assert len(told(OperationalError("x" * 10_000))) == LONGEST_ERROR
