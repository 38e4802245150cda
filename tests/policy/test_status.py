"""What a process tells of its policy."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from apiguard.concurrency import FIRST_PAUSE
from apiguard.models import PolicyState, Route
from apiguard.policy.holder import PolicyUnavailable
from apiguard.policy.status import LONGEST_ERROR, PolicyStatus, redacted
from tests.policy.processes import AGE, add_route, elsewhere


def test_the_status_before_the_first_refresh_is_empty(holder):
    assert holder.status() == PolicyStatus()


def test_policy_that_was_found_in_force_has_no_delay(holder):
    add_route("a")
    held = holder.snapshot()
    status = holder.status()
    assert (status.revision, status.stamp) == (held.revision, held.stamp)
    assert status.refreshed_at <= status.in_force_since
    assert (status.delay, status.failed_since, status.error) == (None, None, "")


def test_a_change_has_taken_some_time(holder, clock):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    clock.forward(AGE)
    holder.snapshot()
    status = holder.status()
    published = PolicyState.objects.get().changed_at.timestamp()
    assert status.delay == pytest.approx(status.in_force_since - published)
    assert status.delay >= 0


def test_a_process_without_requests_waited_for_nothing(holder, clock):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    PolicyState.objects.update(changed_at=timezone.now() - timedelta(seconds=20))
    holder._status = replace(holder._status, refreshed_at=time.time() - 25)
    clock.forward(AGE)
    holder.snapshot()
    assert holder.status().delay < 5


def test_a_look_that_finds_nothing_new_is_a_look_all_the_same(holder, clock):
    holder.snapshot()
    before = holder.status()
    clock.forward(AGE)
    holder.snapshot()
    after = holder.status()
    assert after.refreshed_at > before.refreshed_at
    assert after.in_force_since == before.in_force_since


def test_clocks_that_differ_make_no_negative_delay(holder, clock):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    PolicyState.objects.update(changed_at="2100-01-01T00:00:00Z")
    clock.forward(AGE)
    holder.snapshot()
    assert holder.status().delay == 0


def test_a_revision_of_an_older_apiguard_has_no_delay(holder, clock):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    PolicyState.objects.update(changed_at=None)
    clock.forward(AGE)
    holder.snapshot()
    assert holder.status().delay is None


def test_failures_are_reported_with_the_first_moment_and_the_last_error(holder, clock, away):
    held = holder.snapshot()
    with away():
        clock.forward(AGE)
        holder.snapshot()
        first = holder.status()
        clock.forward(FIRST_PAUSE)
        holder.snapshot()
    assert (first.revision, first.error) == (held.revision, "OperationalError: away")
    assert holder.status().failed_since == first.failed_since is not None
    clock.forward(2 * FIRST_PAUSE)
    holder.snapshot()
    assert (holder.status().failed_since, holder.status().error) == (None, "")


def test_the_status_without_any_policy_has_the_reason(holder, away):
    with away(), pytest.raises(PolicyUnavailable):
        holder.snapshot()
    status = holder.status()
    assert (status.revision, status.error) == (None, "OperationalError: away")


def test_problems_are_counted(holder):
    Route._base_manager.bulk_create([Route(name="a", path_prefix="no prefix")])
    snapshot = holder.snapshot()
    assert holder.status().problems == len(snapshot.problems) > 0


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
def test_an_error_is_reported_in_one_line_without_secrets(message, shown):
    assert redacted(OperationalError(message)) == shown


def test_an_error_is_reported_in_short():
    assert len(redacted(OperationalError("x" * 10_000))) == LONGEST_ERROR
