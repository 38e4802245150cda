"""Whatever a request brings: no exception, and nothing that the policy does not permit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard import conf
from apiguard.request import cors
from apiguard.request.context import GuardContext
from apiguard.request.facts import Facts
from apiguard.request.verdict import Outcome
from apiguard.testing import snapshot_of
from tests.rules.origin_oracle import is_allowed

from .cors_policies import LISTED, POLICIES, rows

ENFORCED = [name for name, policy in POLICIES.items() if not policy.none and not policy.route]
# What forms refuse grants nothing, well formed or not.
GRANTS_NOTHING = {
    "star-and-credentials": {"*"},
    "plain-http": {"http://intranet.example"},
    "public-suffix": {"https://*.github.io", "https://*.co.uk"},
    "broken": {"*", "https://app.example.com"},
}

ORIGINS = st.one_of(
    st.none(),
    st.text(max_size=80),
    st.sampled_from([text for policy in POLICIES.values() for text in policy.patterns]),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["https://app.example.com", "https://a.example", "http://localhost:1"]),
        st.sampled_from(["", "", "/", ".", ":443", ".evil.example", "\n", "\x00"]),
        st.sampled_from(["", "", "@evil.example", ",https://evil.example"]),
    ),
)
METHODS = st.one_of(st.none(), st.sampled_from(["GET", "PUT", "put", "", "*"]), st.text(max_size=9))
NAMES = st.one_of(
    st.none(),
    st.text(max_size=60),
    st.lists(
        st.sampled_from(["x-key", "X-KEY", "authorization", "", " ", "\t", "x-other", "*"]),
        max_size=40,
    ).map(",".join),
    st.integers(4090, 4100).map(lambda length: "x-key".ljust(length)),
)


@pytest.fixture(scope="module")
def snapshot():
    return snapshot_of(*rows())


def naively_refused(asked):
    """Whether a list of header names asks for too much."""
    members = [member.strip(" \t").lower() for member in asked.split(",")]
    empty = members.count("") if asked else 0
    listed = {name.lower() for name in LISTED["allowed_headers"]}
    return len(asked) > 4096 or empty > 16 or not set(members) - {""} <= listed


@given(st.sampled_from(ENFORCED), ORIGINS, METHODS, NAMES, st.sampled_from(["GET", "OPTIONS"]))
def test_what_is_granted_is_what_the_policy_permits(snapshot, name, origin, wanted, names, method):
    facts = Facts(
        method,
        host="testserver",
        origin=origin,
        requested_method=wanted,
        requested_headers=names,
    )
    context = GuardContext(facts, conf.current(), snapshot, snapshot.routes.find(f"/{name}/ok"))
    verdict = cors.check_origin(context)
    if verdict is not None:
        context.verdict = verdict
    store = {}
    cors.write_headers(context, store)

    granting = [
        text for text in POLICIES[name].patterns if text not in GRANTS_NOTHING.get(name, ())
    ]
    anybody = "*" in granting
    allowed = anybody or (origin is not None and is_allowed(granting, origin))
    preflight = method == "OPTIONS" and origin is not None and bool(wanted)
    given_methods = POLICIES[name].fields.get("allowed_methods", LISTED["allowed_methods"])
    if preflight and allowed:
        refused = wanted not in {"GET", "HEAD", "POST", *given_methods}
        if "allowed_headers" not in POLICIES[name].fields:
            refused = refused or naively_refused(names or "")
            assert (verdict.outcome is Outcome.PREFLIGHT_ANSWERED) is not refused
        refused = verdict.outcome is not Outcome.PREFLIGHT_ANSWERED
    else:
        refused = preflight and origin != "http://testserver"
    granted = store.get("access-control-allow-origin")
    if allowed and not refused:
        assert granted == ("Access-Control-Allow-Origin", "*" if anybody else origin)
    else:
        assert granted is None
    if granted is None or anybody:
        assert "access-control-allow-credentials" not in store


@pytest.mark.parametrize(
    ("host", "secure", "origin", "own"),
    [
        ("api.example.com", True, "https://api.example.com", True),
        ("api.example.com", False, "http://api.example.com", True),
        ("api.example.com", False, "https://api.example.com", False),
        ("api.example.com:8443", True, "https://api.example.com:8443", True),
        ("api.example.com:8443", True, "https://api.example.com", False),
        # Some proxies write the default port into Host.
        ("api.example.com:443", True, "https://api.example.com", True),
        ("api.example.com:80", False, "http://api.example.com", True),
        ("api.example.com:443", False, "http://api.example.com:443", True),
        ("api.example.com:80", True, "https://api.example.com", False),
        ("[::1]:80", False, "http://[::1]", True),
        ("", False, "http://", False),
        (":80", False, "http://", False),
        (None, False, "http://None", False),
    ],
)
def test_the_sites_own_pages_are_known_by_host_where_the_browser_says_nothing(
    host, secure, origin, own
):
    facts = Facts("GET", secure=secure, host=host, origin=origin)
    assert cors.is_same_origin(facts) is own
