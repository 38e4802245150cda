"""The policy in force inside an open transaction: for that transaction alone."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apiguard.models.state import PendingChange
from apiguard.policy.holder import PolicyUnavailable
from tests.policy.processes import (
    AGE,
    SECONDS_TO_WAIT,
    add_route,
    elsewhere,
    in_thread,
    names,
)


def test_what_a_transaction_reads_serves_that_request_alone(holder, clock):
    held = holder.snapshot()
    elsewhere(lambda: add_route("a"))
    clock.forward(AGE)
    with transaction.atomic():
        assert names(holder.snapshot()) == {"a"}
        assert holder._held is held


def test_uncommitted_policy_is_seen_in_its_transaction_and_nowhere_else(holder):
    add_route("a")
    held = holder.snapshot()
    with suppress(ZeroDivisionError), transaction.atomic():
        add_route("b")
        assert holder.ready() is None
        assert names(holder.snapshot()) == {"a", "b"}
        thread, seen = in_thread(holder.snapshot)
        thread.join(SECONDS_TO_WAIT)
        assert seen == [held]
        raise ZeroDivisionError
    assert holder.snapshot() is held


def test_a_rolled_back_savepoint_takes_its_policy_along(holder):
    with transaction.atomic():
        add_route("a")
        outer = holder.snapshot()
        with suppress(ZeroDivisionError), transaction.atomic():
            add_route("b")
            assert names(holder.snapshot()) == {"a", "b"}
            raise ZeroDivisionError
        assert holder.snapshot() is outer


def test_uncommitted_policy_is_compiled_once(holder):
    with transaction.atomic():
        add_route("a")
        first = holder.snapshot()
        with CaptureQueriesContext(connection) as quiet:
            assert holder.snapshot() is first
        assert len(quiet) == 0


def test_policy_cannot_be_read_in_a_transaction_that_is_broken(holder):
    with suppress(ZeroDivisionError), transaction.atomic():
        add_route("a")
        transaction.set_rollback(True)
        with pytest.raises(PolicyUnavailable):
            holder.snapshot()
        raise ZeroDivisionError
    gc.collect()  # What an exception held in a cycle, of this test or of another.
    assert not PendingChange.alive
