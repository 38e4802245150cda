"""What a document says becomes rows that are wanted, or mistakes with their places."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.transfer.documents import Document
from apiguard.transfer.policy_files import MAX_PROBLEMS, read_wanted

FUZZ = int(os.environ.get("APIGUARD_DOCUMENTS", "60"))
P256 = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}


def problems_of(**data):
    return [str(problem) for problem in read_wanted(Document(data)).problems]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"keys": []}, "keys: 'keys' is no section. There are: version,"),
        ({"route": []}, "route: 'route' is no section. Did you mean 'routes'?"),
        ({"version": True}, "version: This release reads version 1."),
        ({"routes": {}}, "routes: routes is no list. Begin rows with '- '."),
        ({"routes": ["api"]}, "routes[0]: This route is no mapping. Write name: …"),
        ({"tiers": [{"name": "A"}]}, "tiers[0]: The tier has no slug."),
        ({"tiers": [{"slug": "", "name": "A"}]}, "tiers[0].slug: The slug is empty."),
        ({"tiers": [{"slug": 5, "name": "A"}]}, "tiers[0].slug: This is 5, not text. Write it in"),
        (
            {"tiers": [{"slug": "a", "name": "A"}] * 2},
            "tiers[1]: tier 'a' stands in the file twice.",
        ),
        ({"tiers": [{"slug": "a", "name": "A", "was": 1}]}, "tiers[0].was: was is no name."),
        (
            {"cors_policies": [{"name": "c", "origins": [{"pattern": "*", "was": "x"}]}]},
            "cors_policies[0].origins[0].was: 'was' is no field.",
        ),
        (
            {"routes": [{"name": "a", "path_prefix": "/", "methods": "GET"}]},
            "routes[0].methods: This is 'GET', not a list of texts.",
        ),
        (
            {"routes": [{"name": "a", "path_prefix": "/", "user_tier": 5}]},
            "routes[0].user_tier: This is no name of a row. Write it as text.",
        ),
        (
            {"clients": [{"slug": "a", "name": "A", "overrides": [{"limit": "m", "amount": 1}]}]},
            "clients[0].overrides[0].limit: 'm' names no limit. Write the name of its tier first",
        ),
        (
            {"clients": [{"slug": "a", "name": "A", "keys": []}]},
            "clients[0].keys: 'keys' is no field.",
        ),
        (
            {"clients": [{"slug": "a", "name": "A", "metadata": {"a": ["\0"]}}]},
            "clients[0].metadata: This holds the character NUL",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_place(data, text):
    (problem,) = problems_of(**data)
    assert problem.startswith(text)


@pytest.mark.parametrize(
    ("until", "text"),
    [
        ("2026-12-31", "has no time zone"),
        ("2026-12-31T23:59:59", "has no time zone"),
        ("tomorrow", "is no time"),
        ("0001-01-01T00:00:00+14:00", "out of range"),
        (5, "is no time"),
    ],
)
def test_a_time_needs_its_zone(until, text):
    override = {"limit": "t/m", "amount": 1, "until": until}
    (problem,) = problems_of(clients=[{"slug": "a", "name": "A", "overrides": [override]}])
    assert text in problem
    assert "Write it as 2026-12-31T23:59:59Z." in problem


def test_a_private_key_is_refused_and_not_repeated():
    issuer = {"name": "i", "issuer": "i", "jwks": {"keys": [{**P256, "d": "private-part"}]}}
    (problem,) = problems_of(issuers=[issuer])
    assert "private key" in problem
    assert "private-part" not in problem


def test_a_file_full_of_mistakes_names_the_first_of_them():
    assert len(problems_of(routes=[5] * 1000)) == MAX_PROBLEMS


def test_what_a_row_leaves_out_has_its_default():
    wanted = read_wanted(Document({"routes": [{"name": "a", "path_prefix": "/a"}]}))
    (route,) = wanted.entries.values()
    assert route.values["path_prefix"] == "/a/"
    assert (route.values["mode"], route.values["cost"], route.values["methods"]) == (
        "enforce",
        1,
        [],
    )
    assert wanted.covered == {("routes", "")}


def test_an_empty_section_is_covered_and_a_missing_one_is_not():
    wanted = read_wanted(Document({"routes": None, "tiers": [{"slug": "a", "name": "A"}]}))
    assert wanted.covered == {("routes", ""), ("tiers", "")}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
SECTIONS = st.sampled_from(
    ["routes", "cors_policies", "header_policies", "tiers", "issuers", "clients", "version", "x"]
)
ROWS = st.dictionaries(
    st.sampled_from(
        [
            *("name", "slug", "path_prefix", "limits", "overrides", "origins", "headers", "was"),
            *(
                "jwks",
                "tier",
                "route",
                "limit",
                "until",
                "metadata",
                "owner",
                "amount",
                "audiences",
            ),
        ]
    ),
    JSON | st.lists(st.dictionaries(st.sampled_from(["name", "limit"]), JSON), max_size=2),
    max_size=5,
)


@settings(max_examples=FUZZ)
@given(st.dictionaries(SECTIONS, st.lists(ROWS, max_size=2) | JSON))
def test_any_document_is_understood_or_refused(data):
    wanted = read_wanted(Document(data))
    assert all(str(problem) and problem.field for problem in wanted.problems)
