"""What an edit of a client or a key does to those who hold the keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.policy.consequences import CallerRecords, compare_callers
from apiguard.policy.records import ClientRecord, KeyRecord, Override
from apiguard.rules.networks import parse_networks
from tests.examples import examples
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
    "more for longer": (
        {"overrides": {1: Override(50, WEEK)}},
        {"overrides": {1: Override(50, WEEK + timedelta(days=1))}},
        (
            "“Acme” may use 50 per minute (per-minute) until 2030-01-09 00:00 UTC instead of "
            "until 2030-01-08 00:00 UTC."
        ),
        False,
    ),
    "more for good instead of for a week": (
        {"overrides": {1: Override(50, WEEK)}},
        {"overrides": {1: Override(50, None)}},
        (
            "“Acme” may use 50 per minute (per-minute) for good instead of until 2030-01-08 "
            "00:00 UTC."
        ),
        True,
    ),
    "its error": ({"broken": True}, {}, "The keys of “Acme” are accepted.", True),
    "from a tier with an error": (
        {"tier_pk": 9},
        {"tier_pk": 4},
        "The keys of “Acme” were answered 503, and are served again.",
        True,
    ),
    "to a tier with an error": (
        {},
        {"tier_pk": 9},
        "The keys of “Acme” are answered 503: the tier has an error.",
        True,
    ),
    "an owner": (
        {"owner_pk": 7},
        {"owner_pk": 7, "acts_as_owner": True},
        "The keys of “Acme” act as another user than before: the owner.",
        False,
    ),
    "an owner who is only noted": ({}, {"owner_pk": 7}, "", False),
    "a name": ({"name": "Other"}, {}, "", False),
}


def sentences(before, after):
    """Each sentence, and whether it waits for a confirmation."""
    found = compare_callers(before, after, (SNAPSHOT, SNAPSHOT), NOW)
    return [(str(each), each.confirm) for each in found]


@pytest.mark.parametrize("case", CASES)
def test_the_sentences_of_an_edit(case):
    before, after, sentence, is_confirmed = CASES[case]
    old, new = (CallerRecords({1: replace(ACME, **fields)}) for fields in (before, after))
    assert sentences(old, new) == ([(sentence, is_confirmed)] if sentence else [])


def test_a_new_client_opens_nothing():
    assert sentences(CallerRecords(), CallerRecords({1: ACME})) == []


KEY = KeyRecord(
    pk=1,
    key_id="abc",
    name="web",
    environment="live",
    digest="",
    pepper_id="",
    scopes=frozenset({"orders:read"}),
    allowed_networks=HOME,
    not_before=NOW,
    expires_at=WEEK,
    revoked=False,
    client=ACME,
)

# What is edited -> fields before, fields after, sentence ("": none).
KEY_CASES = {
    "a scope more": (
        {},
        {"scopes": frozenset({"orders:read", "orders:write"})},
        "may use orders:write.",
    ),
    "a scope less": ({}, {"scopes": frozenset()}, ""),
    "from anywhere": ({}, {"allowed_networks": ()}, "is accepted from any address."),
    "from nowhere new": ({"allowed_networks": ()}, {}, ""),
    "for longer": (
        {},
        {"expires_at": WEEK + timedelta(hours=1)},
        "ends on 2030-01-08 01:00 UTC instead of on 2030-01-08 00:00 UTC.",
    ),
    "for ever": ({}, {"expires_at": None}, "never ends instead of on 2030-01-08 00:00 UTC."),
    "not for ever": ({"expires_at": None}, {}, ""),
    "earlier": ({}, {"not_before": None}, "is accepted now."),
    "its error": ({"broken": True}, {}, "had an error, and is accepted."),
    "one that is revoked": ({}, {"expires_at": None, "revoked": True}, ""),
    "a name": ({"name": "other"}, {}, ""),
}


@pytest.mark.parametrize("case", KEY_CASES)
def test_the_sentences_of_an_edit_of_a_key(case):
    before, after, sentence = KEY_CASES[case]
    old, new = (CallerRecords(keys={1: replace(KEY, **fields)}) for fields in (before, after))
    assert sentences(old, new) == ([(f"The key “web” (abc) {sentence}", True)] if sentence else [])


def test_a_new_key_is_no_news():
    assert sentences(CallerRecords(), CallerRecords(keys={1: KEY})) == []


NETWORKS = st.lists(
    st.sampled_from(["192.0.2.0/24", "192.0.2.8/32", "10.0.0.0/8", "2001:db8::/32"]), max_size=2
).map(lambda texts: parse_networks(texts))
ADDRESSES = [ip_address(text) for text in ("192.0.2.8", "192.0.2.9", "10.1.1.1", "2001:db8::1")]
MOMENTS = [NOW + timedelta(days=days) for days in (-20, 0, 5, 9, 400)]
MAYBE_A_MOMENT = st.none() | st.sampled_from([NOW, WEEK, WEEK + timedelta(days=1)])
KEY_FIELDS = {
    "scopes": st.frozensets(st.sampled_from(["orders:read", "orders:write"])),
    "allowed_networks": NETWORKS,
    "not_before": MAYBE_A_MOMENT,
    "expires_at": MAYBE_A_MOMENT,
    "revoked": st.booleans(),
    "broken": st.sampled_from([False, False, True]),
}
OVERRIDES = st.builds(Override, st.sampled_from([2, 50]), MAYBE_A_MOMENT)
CLIENT_FIELDS = {
    "tier_pk": st.sampled_from([1, 1, 1, 2, 3, 4, None]),
    "enabled": st.booleans(),
    "allowed_networks": NETWORKS,
    "overrides": st.dictionaries(st.sampled_from([1, 1, 1, 2]), OVERRIDES, max_size=2),
    "broken": st.sampled_from([False, False, True]),
}


@st.composite
def edits(draw, record, fields):
    """A record, and the same with some other values: mostly with one."""
    old = replace(record, **{name: draw(values) for name, values in fields.items()})
    edited = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3))
    return old, replace(old, **{name: draw(fields[name]) for name in edited})


def is_from(networks, address):
    return not networks or any(address in network for network in networks)


def uses_of_key(key):
    """Every way in which a key may be used."""
    if key.revoked or key.broken:
        return set()
    return {
        (address, moment, scope)
        for address in ADDRESSES
        for moment in MOMENTS
        for scope in (*key.scopes, "")
        if is_from(key.allowed_networks, address)
        and (key.not_before is None or key.not_before <= moment)
        and (key.expires_at is None or moment < key.expires_at)
    }


def most_of_client(client):
    """By address, moment and route, how much a client may use; -1: nothing."""
    tier = SNAPSHOT.tiers.get(client.tier_pk)
    found = {}
    for moment in MOMENTS[1:]:
        for route_pk in (1, None):
            amounts = [10**9]
            limits = [] if tier is None else [*tier.everywhere, *tier.by_route.get(route_pk, ())]
            for one in limits:
                own = client.overrides.get(one.pk)
                is_own = own is not None and (own.until is None or moment < own.until)
                amounts.append(own.amount if is_own else one.amount)
            for address in ADDRESSES:
                accepted = client.enabled and not client.broken
                accepted = accepted and is_from(client.allowed_networks, address)
                found[address, moment, route_pk] = min(amounts) if accepted else -1
    return found


@given(edits(KEY, KEY_FIELDS))
def test_no_key_may_do_more_without_a_sentence(edit):
    old, new = edit
    if uses_of_key(new) - uses_of_key(old) and not old.revoked:
        assert sentences(CallerRecords(keys={1: old}), CallerRecords(keys={1: new}))


@settings(max_examples=examples(500))
@given(edits(ACME, CLIENT_FIELDS))
def test_no_client_may_do_more_without_a_sentence(edit):
    old, new = edit
    before, after = most_of_client(old), most_of_client(new)
    if any(after[use] > before[use] for use in after):
        assert sentences(CallerRecords({1: old}), CallerRecords({1: new}))
