"""What an edit of a client does to those who hold its keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apiguard.policy.consequences import compare_client
from apiguard.policy.records import ClientRecord, Override
from apiguard.rules.networks import parse_networks
from tests.policy.rows import compiled, limit, route, tier

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SNAPSHOT = compiled(
    route(),
    tier(name="Free"),
    limit(name="per-minute"),
    tier(pk=2, name="Gold"),
    limit(pk=2, tier_id=2, name="per-minute", amount=100),
    tier(pk=3, name="Few"),
    limit(pk=3, tier_id=3, name="per-minute", amount=5, route_id=1),
    tier(pk=4, name="Fewer"),
    limit(pk=4, tier_id=4, name="per-minute", amount=5),
)
ACME = ClientRecord(
    pk=1,
    slug="acme",
    name="Acme",
    tier_pk=1,
    owner_pk=None,
    acts_as_owner=False,
    enabled=True,
    allowed_networks=(),
)
WEEK = NOW + timedelta(days=7)
HOME = parse_networks(["192.0.2.0/24"])

# What is edited -> fields before, fields after, sentence ("": none), whether it is to be confirmed.
CASES = {
    "enabled": ({"enabled": False}, {}, "The keys of “Acme” are accepted.", True),
    "disabled": ({}, {"enabled": False}, "The keys of “Acme” are refused from now on.", False),
    "from anywhere": (
        {"allowed_networks": HOME},
        {},
        "The keys of “Acme” are accepted from any address.",
        True,
    ),
    "from a part of its networks": (
        {"allowed_networks": HOME},
        {"allowed_networks": parse_networks(["192.0.2.8/32"])},
        "",
        False,
    ),
    "a larger tier": (
        {},
        {"tier_pk": 2},
        "“Acme” loses the limit per-minute (10 per minute).",
        True,
    ),
    "a smaller tier": ({}, {"tier_pk": 4}, "", False),
    "a limit of one route": (
        {},
        {"tier_pk": 3},
        "“Acme” loses the limit per-minute (10 per minute).",
        True,
    ),
    "no tier": ({}, {"tier_pk": None}, "“Acme” becomes unlimited.", True),
    "more for a week": (
        {},
        {"overrides": {1: Override(50, WEEK)}},
        (
            "“Acme” may use 50 per minute instead of 10 per minute (per-minute) until 2030-01-08 "
            "00:00 UTC."
        ),
        False,
    ),
    "more for good": (
        {},
        {"overrides": {1: Override(50, None)}},
        "“Acme” may use 50 per minute instead of 10 per minute (per-minute).",
        True,
    ),
    "less for good": (
        {},
        {"overrides": {1: Override(2, None)}},
        "“Acme” may use 2 per minute instead of 10 per minute (per-minute).",
        False,
    ),
    "a smaller amount ends": (
        {"overrides": {1: Override(2, None)}},
        {},
        "“Acme” may use 10 per minute instead of 2 per minute (per-minute).",
        True,
    ),
    "an override that has ended": ({"overrides": {1: Override(2, NOW)}}, {}, "", False),
    "a name": ({"name": "Other"}, {}, "", False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentences_of_an_edit(case):
    before, after, sentence, is_confirmed = CASES[case]
    found = compare_client(replace(ACME, **before), replace(ACME, **after), SNAPSHOT, NOW)
    expected = [(sentence, is_confirmed)] if sentence else []
    assert [(str(each), each.confirm) for each in found] == expected


def test_a_new_client_opens_nothing():
    assert compare_client(None, ACME, SNAPSHOT, NOW) == ()
