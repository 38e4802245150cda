"""What the step from one policy to another does, in sentences."""

from __future__ import annotations

import os
import sys

import pytest

from apiguard.models import BlockedNetwork, HeaderPolicy
from apiguard.policy.consequences import Callers, Kind, compare, digest, find_conditions
from tests.examples import examples
from tests.policy.consequences.random_policies import check_edits
from tests.policy.rows import compiled, cors, header, issuer, limit, origin, route, tier

# A longer run is EDIT_STATEMENTS=500, or python -m benchmarks.edit_statements.
EDITS = int(os.environ.get("EDIT_STATEMENTS", "0")) or examples(30)

API = {"path_prefix": "/api/", "name": "api", "access": "public"}
ORDERS = {"pk": 2, "path_prefix": "/api/orders/", "name": "orders", "access": "public"}
PUBLIC = [route(**API)]
WITH_CORS = [route(**API, cors_policy_id=1), cors()]
LIMITED = [route(**API, anonymous_tier_id=1), tier(name="Free"), limit(name="per-minute")]
GUARDED = [
    route(**API, cors_policy_id=1, header_policy_id=1, anonymous_tier_id=1),
    cors(),
    HeaderPolicy(pk=1, name="headers"),
    header(mode="force"),
    *LIMITED[1:],
]


def texts(before, after, **callers):
    return [str(each) for each in compare(compiled(*before), compiled(*after), Callers(**callers))]


DEAR = (
    "One request to the route 'api' costs 50, and this limit admits 10: every request that it "
    "counts there is refused."
)

# What is edited -> rows before, rows after, sentences.
CASES = {
    "an origin is added": (
        WITH_CORS,
        [*WITH_CORS, origin("https://x.example")],
        ["Newly admits https://x.example on /api/."],
    ),
    "an origin is added that a family admits already": (
        [*WITH_CORS, origin("https://*.example.com")],
        [*WITH_CORS, origin("https://*.example.com"), origin("https://x.example.com", pk=2)],
        [],
    ),
    "a family is widened": (
        [*WITH_CORS, origin("https://*.a.example.com")],
        [*WITH_CORS, origin("https://*.example.com")],
        ["Newly admits https://*.example.com on /api/."],
    ),
    "an origin is removed": (
        [*WITH_CORS, origin("https://x.example")],
        WITH_CORS,
        ["No longer admits https://x.example on /api/."],
    ),
    "a path leaves a route": (
        GUARDED,
        [*GUARDED, route(**ORDERS)],
        [
            "The Origin header is no longer checked under /api/orders/ (no CORS policy).",
            (
                "Requests without a credential lose the limit per-minute (10 per minute) under "
                "/api/orders/."
            ),
            "Signed-in users lose the limit per-minute (10 per minute) under /api/orders/.",
            (
                "/api/orders/ leaves the route “api” for “orders”: no CORS policy, no headers, "
                "no limit."
            ),
            "Responses of /api/orders/ lose the headers X-Frame-Options.",
        ],
    ),
    "a route is switched off": (
        [route(**{**API, "access": "credentials"})],
        [route(**{**API, "access": "credentials"}, mode="off")],
        ["Everything under /api/ becomes unguarded: no credential."],
    ),
    "a route only observes": (
        [route(**{**API, "access": "credentials"})],
        [route(**{**API, "access": "credentials"}, mode="observe")],
        ["Everything under /api/ becomes unguarded: the route “api” only observes: no credential."],
    ),
    "the last limit of a tier goes": (
        LIMITED,
        LIMITED[:2],
        ["1,000 clients, anonymous callers of api become unlimited (tier “Free”)."],
    ),
    "a limit is raised": (
        LIMITED,
        [*LIMITED[:2], limit(name="per-minute", amount=20)],
        [
            (
                "Tier “Free” (1,000 clients, anonymous callers of api): the limit “per-minute” "
                "changes from 10 per minute to 20 per minute."
            )
        ],
    ),
    "a limit is lowered": (
        LIMITED,
        [*LIMITED[:2], limit(name="per-minute", amount=5)],
        [
            (
                "Tier “Free” (1,000 clients, anonymous callers of api): the limit “per-minute” "
                "changes from 10 per minute to 5 per minute."
            )
        ],
    ),
    "a route costs more than a limit": (
        LIMITED,
        [route(**API, anonymous_tier_id=1, cost=50), *LIMITED[1:]],
        [
            "A request to /api/ costs 50 instead of 1.",
            f"Free: per-minute: {DEAR}",
        ],
    ),
    "a route reserves a unit no longer, less of another, and a third": (
        [route(**API, reserve={"tokens": 1000, "images": 5, "pages": 1})],
        [route(**API, reserve={"images": 2, "pages": 3, "words": 9})],
        [
            "A request to /api/ reserves 2 images instead of 5.",
            "Limits of tokens no longer hold on /api/, which reserves none.",
            "Limits of words hold on /api/; a request reserves 9.",
            "A request to /api/ reserves 3 pages instead of 1.",
        ],
    ),
    "views see other users": (
        [route(**{**API, "access": "application"})],
        PUBLIC,
        ["Views under /api/ will see users without a row (clients and token subjects)."],
    ),
    "an issuer is added": (
        PUBLIC,
        [*PUBLIC, issuer()],
        ["Tokens of “i1” (https://i1.example) are accepted, without any limit."],
    ),
    "a name is changed": (PUBLIC, [route(**{**API, "name": "other"})], []),
    "nothing changes": (LIMITED, LIMITED, []),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentences_of_an_edit(case):
    before, after, sentences = CASES[case]
    assert texts(before, after, clients={1: 1000}) == sentences


def test_overrides_of_a_limit_that_goes_are_counted():
    before = [*LIMITED, limit(pk=2, name="per-day")]
    found = texts(before, LIMITED, overrides={2: 12})
    assert "12 overrides of the limit “per-day” disappear." in found


def test_one_sentence_names_all_paths_of_a_policy():
    both = [route(**API, cors_policy_id=1), route(**ORDERS, cors_policy_id=1), cors()]
    [found] = compare(compiled(*both), compiled(*both, origin("https://x.example")))
    assert str(found) == "Newly admits https://x.example on /api/ and /api/orders/."
    assert found.prefixes == ("/api/", "/api/orders/")
    assert found.kind is Kind.OPENS


def test_a_tightened_limit_waits_for_no_confirmation():
    after = [*LIMITED[:2], limit(name="per-minute", amount=5)]
    assert digest(compare(compiled(*LIMITED), compiled(*after))) == ""


def test_the_digest_is_of_the_sentences():
    one, two = (
        digest(
            compare(compiled(*WITH_CORS), compiled(*WITH_CORS, origin(f"https://{name}.example")))
        )
        for name in "xy"
    )
    assert one
    assert one != two


def test_many_origins_are_compared_by_their_matchers():
    many = [origin(f"https://a{number}.example", pk=number) for number in range(1, 5001)]
    added = origin("https://new.example", pk=9999)
    [found] = compare(compiled(*WITH_CORS, *many), compiled(*WITH_CORS, *many, added))
    assert str(found) == "Newly admits https://new.example on /api/."


def test_conditions_hold_until_somebody_changes_them():
    snapshot = compiled(route(**API, anonymous_tier_id=1, cost=50), *LIMITED[1:], tier(pk=2))
    callers = Callers(clients={2: 3}, off=((7, "old", "/old/"), (8, "orders", "/api/orders/")))
    found = [
        (each.model, each.pk, each.error.reason) for each in find_conditions(snapshot, callers)
    ]
    assert found == [
        ("tier", 2, "The tier has no limits, so it limits nothing: 3 clients."),
        ("limit", 1, DEAR),
        ("route", 7, "The route is off: everything under /old/ is unguarded."),
        ("route", 8, "The route is off: the route 'api' applies under /api/orders/."),
    ]


def test_an_address_is_no_longer_blocked():
    blocked = [*PUBLIC, BlockedNetwork(pk=1, network="192.0.2.0/24", reason="flood")]
    [found] = compare(compiled(*blocked), compiled(*PUBLIC))
    assert str(found) == "Requests from 192.0.2.0/24 are no longer blocked, or not as long."
    [found] = compare(compiled(*PUBLIC), compiled(*blocked))
    assert (str(found), found.confirm) == ("Requests from 192.0.2.0/24 are blocked.", False)


def test_no_opening_goes_without_a_statement(capsys):
    report = check_edits(EDITS, 200 if EDITS >= 500 else 60)
    with capsys.disabled():
        sys.stdout.write(f"\n{report.summary}\n")
    assert report.missed == []
    assert report.opening_edits
    assert report.false_alarms <= report.edits // 4
