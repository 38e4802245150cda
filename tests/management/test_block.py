"""Blocking a network from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apiguard.models import BlockedNetwork, PolicyChange


def test_a_network_is_blocked_until_a_time_for_a_reason(run):
    done = run("block", "192.0.2.7", "--until", "2h", "--reason", "a flood", "--json")
    row = BlockedNetwork.objects.get()
    assert done.json == {
        "network": "192.0.2.7/32",
        "until": row.until.isoformat(timespec="seconds"),
        "reason": "a flood",
        "created": True,
    }
    assert timedelta(minutes=119) < row.until - timezone.now() <= timedelta(hours=2)
    change = PolicyChange.objects.get()
    assert (change.actor_name, change.reason) == ("apiguard block (command line)", "a flood")


def test_blocking_again_changes_the_end_and_the_reason(run):
    run("block", "192.0.2.0/24", "--until", "30m", "--reason", "first")
    done = run("block", "192.0.2.0/24", "--until", "never", "--reason", "second", "--json")
    row = BlockedNetwork.objects.get()
    assert (row.until, row.reason, done.json["created"]) == (None, "second", False)


def test_a_date_and_time_is_an_end(run):
    run("block", "2001:db8::/64", "--until", "2999-01-31T18:00:00+00:00", "--reason", "x")
    assert BlockedNetwork.objects.get().until == datetime(2999, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["192.0.2.7/24", "--until", "2h", "--reason", "x"], "Did you mean '192.0.2.0/24'?"),
        (["0.0.0.0/0", "--until", "2h", "--reason", "x"], "blocks everybody"),
        (["192.0.2.7", "--until", "2h", "--reason", "x" * 300], "255"),
        (["192.0.2.7", "--until", "9999-12-31T23:59:59Z", "--reason", "x"], "before 9999"),
    ],
)
def test_what_cannot_be_blocked_is_refused_with_a_reason(run, arguments, text):
    done = run("block", *arguments)
    assert done.status == 2
    assert text in done.err
    assert not BlockedNetwork.objects.exists()


@pytest.mark.parametrize("until", ["yesterday", "2020-01-01T00:00", "0h", "2030-02-31", "9" * 99])
def test_an_end_that_is_none_is_refused(run, until):
    done = run("block", "192.0.2.7", "--until", until, "--reason", "x")
    assert done.status
    assert "has passed" in done.err or "is no time" in done.err


def test_a_network_is_unblocked(run):
    run("block", "192.0.2.7", "--until", "2h", "--reason", "x")
    run("block", "192.0.2.0/24", "--until", "2h", "--reason", "x")
    done = run("unblock", "192.0.2.7")
    assert "It is in 192.0.2.0/24, which is blocked." in done.out
    assert [row.network for row in BlockedNetwork.objects.all()] == ["192.0.2.0/24"]
    assert run("unblock", "192.0.2.7").status == 1
