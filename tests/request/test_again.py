"""A request like one before comes to the same, and is judged anew by all that may have changed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.models import LimitOverride
from apiguard.policy import load
from apiguard.policy import snapshot as policy_snapshot
from apiguard.policy.current import current
from apiguard.request import again, cors, keys, pipeline
from apiguard.request.effects import run
from apiguard.request.facts import Facts
from apiguard.request.verdict import Outcome
from tests.request.site import (
    ALLOWED,
    DOORS,
    FOREIGN,
    Call,
    Caller,
    cookie_free,
    guarded,
    headers,
    route,
    settings_of,
    tier,
    token,
)
from tests.request.site import cors as cors_rows

HEADERS = headers(
    ("Referrer-Policy", "no-referrer", "force", "always"),
    ("Cache-Control", "no-store", "default", "always"),
    ("Strict-Transport-Security", "max-age=60", "default", "https"),
    ("X-Powered-By", "", "remove", "always"),
)


NOW = datetime(2026, 9, 1, tzinfo=UTC)


class Clock(datetime):
    """The verifier's clock; tests set it."""

    moment = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.moment


def rows(caller, **fields):
    """A route with everything on it, and whoever calls it."""
    origins = cors_rows(ALLOWED, allow_credentials=True)
    everything = {
        "access": "credentials",
        "methods": ["GET", "POST"],
        "accepts": ["application/json"],
        "produces": ["application/json"],
        "max_body_bytes": 64,
        "cors_policy": origins[0],
        "header_policy": HEADERS[0],
    }
    return [route(**{**everything, **fields}), *origins, *HEADERS, *caller.rows]


@pytest.fixture
def judged(monkeypatch):
    """How often a request was judged from the beginning."""
    told = []
    judge = cors.judge
    monkeypatch.setattr(cors, "judge", lambda passage: told.append(passage) or judge(passage))
    return told


def ask(caller, *, client=None, **headers):
    return Call(headers={"X-API-Key": caller.text, "Origin": ALLOWED, **headers}).wsgi(client)


def outcome(caller, **headers):
    return ask(caller, **headers).wsgi_request.apiguard.verdict.outcome


# -- the same ----------------------------------------------------------------------


# What a view may say itself.
SAID = {
    "Cache-Control": ("max-age=60", "no-cache"),
    "Referrer-Policy": ("same-origin", "origin"),
    "Access-Control-Allow-Origin": ("*", FOREIGN),
    "Vary": ("Cookie", "Origin, Accept"),
    "X-Powered-By": ("PHP", "magic"),
    "status": ("404", "500"),
    "type": ("text/html", "application/json"),
}
CALLS = st.builds(
    Call,
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
    path=st.one_of(
        st.sampled_from(["/api/plain", "/api/drf/open", "/api/nowhere", "/api/fails"]),
        st.dictionaries(st.sampled_from(list(SAID)), st.integers(0, 1), max_size=3).map(
            lambda said: "/api/decorated?" + urlencode({n: SAID[n][at] for n, at in said.items()})
        ),
    ),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "Origin": st.sampled_from([ALLOWED, FOREIGN, "null"]),
            "Accept": st.sampled_from(["application/json", "text/html", "*/*;q=0"]),
            "Sec-Fetch-Site": st.sampled_from(["same-origin", "cross-site"]),
            "Access-Control-Request-Method": st.sampled_from(["PUT", "DELETE"]),
            "Host": st.sampled_from(["testserver", "elsewhere.example"]),
            "X-Forwarded-Proto": st.sampled_from(["http", "https"]),
            "X-Forwarded-For": st.sampled_from(["192.0.2.7", "198.51.100.7"]),
        },
    ),
    body=st.sampled_from([b"", b"{}", b"x" * 65]),
    content_type=st.sampled_from(["application/json", "text/plain"]),
    secure=st.booleans(),
)


@pytest.mark.parametrize("door", DOORS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    calls=st.lists(CALLS, min_size=1, max_size=3),
    scheme=st.sampled_from(["", "Bearer", "ApiKey"]),
    mode=st.sampled_from(["enforce", "observe"]),
    access=st.sampled_from(["credentials", "public", "application"]),
)
def test_whatever_comes_again_is_answered_as_if_it_came_first(
    door, calls, scheme, mode, access, monkeypatch
):
    own = tier("own", 1000)
    caller = Caller(tier=own[0], key_fields={})
    caller.row.allowed_networks = ["192.0.2.0/24", "127.0.0.1"]
    name, value = (
        ("Authorization", f"{scheme} {caller.text}")
        if scheme
        else (
            "X-API-Key",
            caller.text,
        )
    )
    calls = [call.but({name: value}) for call in calls]
    members = {"TRUSTED_PROXIES": ["127.0.0.1"], "FAILED_CREDENTIALS_LIMIT": None}
    with guarded(*rows(caller, mode=mode, access=access), *own, **members):
        with monkeypatch.context() as patch:
            patch.setattr(again, "recall", lambda passage: None)
            expected = [told_of(DOORS[door](call)) for call in calls]
        for _ in range(2):
            assert [told_of(DOORS[door](call)) for call in calls] == expected


def told_of(response):
    """All that a client sees, but for what is counted and what names the request."""
    kept = {name: value for name, value in cookie_free(response).items() if "ratelimit" not in name}
    content = response.content.replace(response.headers["X-Request-ID"].encode(), b"the id")
    content = re.sub(rb"[A-Za-z0-9]{64}", b"a CSRF token", content)
    return response.status_code, kept, content, "ratelimit" in response.headers


def test_it_is_judged_from_the_beginning_once(judged):
    caller = Caller()
    with guarded(*rows(caller)):
        told = [ask(caller) for _ in range(4)]
    assert len(judged) == 1
    first, *others = (response.wsgi_request.apiguard for response in told)
    for passage in others:
        assert passage.credential == first.credential
        assert passage.credential.user is not first.credential.user
        for name in ("principal", "scopes", "client", "auth", "tier", "cors_origin", "verdict"):
            assert getattr(passage, name) == getattr(first, name), name
    assert len({tuple(sorted(cookie_free(response).items())) for response in told}) == 1


@pytest.mark.parametrize("fact", Facts._fields)
def test_no_fact_is_left_out_of_its_name(fact):
    told = Facts("GET", api_key="key")
    other = told._replace(**{fact: "another" if fact != "secure" else True})
    route_like = SimpleNamespace(pk=1)
    names = {
        again.likeness_of(SimpleNamespace(facts=facts, route=route_like)) for facts in (told, other)
    }
    assert len(names) == 2
    elsewhere = SimpleNamespace(facts=told, route=SimpleNamespace(pk=2))
    assert again.likeness_of(elsewhere) not in names


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), min_size=2, max_size=2))
def test_what_is_parted_otherwise_has_another_name(pairs):
    names = [
        again.likeness_of(
            SimpleNamespace(
                facts=Facts("GET", api_key=key, authorization=authorization),
                route=SimpleNamespace(pk=1),
            )
        )
        for authorization, key in pairs
    ]
    assert None not in names
    assert (names[0] == names[1]) is (pairs[0] == pairs[1])


class Text(str):
    """A gateway's own kind of text."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        pytest.param(Facts("GET", api_key="k"), True, id="a key"),
        pytest.param(Facts("GET", authorization="Bearer k"), True, id="a bearer"),
        pytest.param(Facts("GET"), False, id="nobody"),
        pytest.param(Facts("GET", api_key=Text("k")), False, id="no plain text"),
        pytest.param(Facts("GET", api_key="k" * again.MAX_FACTS), False, id="too long"),
        pytest.param(Facts("GET", api_key="\udc80"), True, id="half a surrogate pair"),
    ],
)
def test_who_has_a_name(facts, named):
    passage = SimpleNamespace(facts=facts, route=SimpleNamespace(pk=1))
    assert (again.likeness_of(passage) is not None) is named


# -- and what may have changed --------------------------------------------------------


@pytest.mark.parametrize("field", ["expires_at", "not_before"])
def test_a_key_has_its_time(field, judged, monkeypatch):
    monkeypatch.setattr(keys, "datetime", Clock)
    caller = Caller()
    setattr(caller.row, field, NOW)
    good, bad = NOW - timedelta(seconds=1), NOW
    expected = Outcome.KEY_EXPIRED
    if field == "not_before":
        good, bad, expected = bad, good, Outcome.KEY_NOT_YET_VALID
    with guarded(*rows(caller)):
        for moment, told in ((good, Outcome.ADMITTED), (bad, expected), (good, Outcome.ADMITTED)):
            Clock.moment = moment
            assert [outcome(caller) for _ in range(2)] == [told] * 2


def test_other_settings_and_another_policy_are_another_judgement(judged):
    caller = Caller()
    with guarded(*rows(caller)) as snapshot:
        assert [outcome(caller) for _ in range(2)] == [Outcome.ADMITTED] * 2
        assert len(judged) == 1
        with override_settings(APIGUARD=settings_of(REALM="elsewhere")):
            outcome(caller)
        assert len(judged) == 2
        # Whatever of a snapshot is changed: one that shares its keyring, too.
        for changed in ({"keyring": snapshot.keyring.without()}, {"tiers": {}}, {"revision": 9}):
            before = len(judged)
            with current.override(replace(snapshot, **changed)):
                outcome(caller)
            assert len(judged) == before + 1


def test_what_is_allowed_as_a_host_is_asked_each_time():
    caller = Caller()
    with guarded(*rows(caller)):
        for allowed, expected in (
            (["testserver"], Outcome.ADMITTED),
            (["elsewhere.example"], Outcome.HOST_NOT_ALLOWED),
            (["testserver"], Outcome.ADMITTED),
        ):
            with override_settings(ALLOWED_HOSTS=allowed):
                assert [outcome(caller) for _ in range(2)] == [expected] * 2


def test_limits_go_on_being_counted():
    own = tier("own", 2)
    caller = Caller(tier=own[0])
    with guarded(*rows(caller), *own):
        told = [ask(caller) for _ in range(4)]
    assert [response.status_code for response in told] == [200, 200, 429, 429]
    assert [response.headers["X-RateLimit-Remaining"] for response in told] == ["1", "0", "0", "0"]
    assert "Retry-After" in told[2].headers


def test_a_view_that_sends_a_header_of_policys_is_answered_with_care():
    caller = Caller()
    with guarded(*rows(caller)):
        for _ in range(2):
            answer = Call(
                path="/api/decorated?Cache-Control=max-age=60",
                headers={"X-API-Key": caller.text, "Origin": ALLOWED},
            ).wsgi()
            assert answer.headers["Cache-Control"] == "max-age=60"
            assert answer.headers["Referrer-Policy"] == "no-referrer"


# -- what is not remembered --------------------------------------------------------------


def remembered(snapshot):
    return len(snapshot.requests)


def test_what_is_refused_is_not_remembered():
    caller = Caller(scopes=())
    with guarded(*rows(caller, required_scopes=["orders:read"])) as snapshot:
        assert outcome(caller) is Outcome.SCOPE_MISSING
        assert outcome(caller, Origin=FOREIGN) is Outcome.FOREIGN_ORIGIN
        assert outcome(caller, Accept="text/html") is Outcome.NOT_ACCEPTABLE
        assert remembered(snapshot) == 0


def test_an_owner_is_looked_up_each_time(monkeypatch):
    owner = User(pk=5, username="olga")
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    asked = []
    monkeypatch.setattr(load, "user", lambda *named: asked.append(named) or owner)
    with guarded(*rows(caller)) as snapshot:
        assert [outcome(caller) for _ in range(3)] == [Outcome.ADMITTED] * 3
        assert remembered(snapshot) == 0
    assert len(asked) == 3


def test_an_amount_that_is_overridden_for_a_time_is_read_each_time():
    own = tier("own", 2)
    caller = Caller(tier=own[0])
    row = LimitOverride(
        client=caller.client, limit=own[1], amount=3, until=datetime.now(UTC) + timedelta(hours=1)
    )
    with guarded(*rows(caller), *own, row) as snapshot:
        told = [ask(caller).headers["X-RateLimit-Limit"] for _ in range(2)]
        assert told == ["3", "3"]
        assert remembered(snapshot) == 0


def test_limits_that_are_overridden_are_the_same_ones_each_time():
    # The bytes of a question to Redis are known by them.
    own = tier("own", 2)
    caller = Caller(tier=own[0])
    row = LimitOverride(client=caller.client, limit=own[1], amount=3)
    with guarded(*rows(caller), *own, row) as snapshot:
        asked = []
        for _ in range(2):
            passage = Call(headers={"X-API-Key": caller.text}).passage(snapshot)
            asked.append(run(pipeline.before_counting(passage), passage).limits)
    assert asked[0] is asked[1]
    assert [limit.amount for limit in asked[0]] == [3]


def test_nobody_and_tokens_are_not_remembered():
    with guarded(route(access="public")) as snapshot:
        for sent in ({}, {"Authorization": f"Bearer {token()}"}, {"X-API-Key": "x"}):
            Call(headers=sent).wsgi()
        assert remembered(snapshot) == 0


def test_there_are_bounds(monkeypatch):
    caller = Caller()
    monkeypatch.setattr(policy_snapshot, "MAX_REQUESTS", 5)
    with guarded(*rows(caller), TRUSTED_PROXIES=["127.0.0.1"]) as snapshot:
        for number in range(50):
            assert outcome(caller, **{"X-Forwarded-For": f"192.0.2.{number}"}) is Outcome.ADMITTED
        assert 5 <= remembered(snapshot) <= 10
