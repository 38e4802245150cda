"""A request is verified once and counted once, whichever door it came through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, override_settings

from apiguard.concurrency import FAILURES, CircuitBreaker
from apiguard.counters.base import StoreFailed
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.denials import Denials, PolicyCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.models import LimitOverride
from apiguard.policy import load
from apiguard.policy.records import key_record
from apiguard.request import effects
from apiguard.telemetry.buffer import buffer
from tests.request import views
from tests.request.site import (
    DOORS,
    MIDDLEWARE,
    WITHOUT_OURS,
    Call,
    Caller,
    guarded,
    issuer,
    route,
    tier,
    token,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def counted(monkeypatch):
    """Every (principal, cost, names of limits) that was asked for, in order."""
    asked = []
    counter = MemoryCounter()

    def check(one):
        asked.append((one.principal, one.cost, [limit.name for limit in one.limits]))
        return counter.check(one)

    here = PolicyCounter(SimpleNamespace(check=check))
    monkeypatch.setattr(effects, "limit_counter", lambda _: here)
    return asked


@pytest.fixture
def looked_up(monkeypatch):
    """Every key that was looked up; ``rows`` are the ones that exist."""
    asked, rows = [], {}

    def key(key_id):
        asked.append(key_id)
        return key_record(rows[key_id]) if key_id in rows else None

    monkeypatch.setattr(load, "key", key)
    return SimpleNamespace(asked=asked, rows=rows)


class SignedIn:
    """Stands in for AuthenticationMiddleware with somebody signed in; no database."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.user = User(pk=int(request.headers["X-User"]), username="bob")
        return self.get_response(request)


SIGNED_IN = [
    MIDDLEWARE[0],
    *WITHOUT_OURS[:-1],
    "tests.middleware.test_counting.SignedIn",
]


# -- once -----------------------------------------------------------------------


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_a_drf_view_verifies_and_counts_once(middleware, access, counted, looked_up):
    limits = tier("standard", 5, 9)
    caller = Caller(tier=limits[0])
    caller.client.pk = caller.row.pk = 7
    looked_up.rows[caller.row.key_id] = caller.row
    rows = [route(access=access), *limits]
    with guarded(*rows, middleware=middleware, look_up=True):
        caller.client.tier = limits[0]  # Anew, now that it has a primary key.
        response = Call(path="/api/drf/open", headers={"X-API-Key": caller.text}).wsgi()
    assert response.status_code == 200
    assert looked_up.asked == [caller.row.key_id]
    assert counted == [("client:7", 1, ["standard-1", "standard-2"])]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
@pytest.mark.parametrize("path", ["/api/plain", "/api/async", "/api/drf/unthrottled", "/api/nope"])
def test_a_credential_is_counted_once_whatever_the_view(door, access, path, counted):
    limits = tier("standard", 5)
    caller = Caller(tier=limits[0])
    rows = [route(access=access), *limits, *caller.rows]
    with guarded(*rows):
        DOORS[door](Call(path=path, headers={"X-API-Key": caller.text}))
    assert counted == [(f"client:{caller.client.pk}", 1, ["standard-1"])]


def test_a_subject_is_counted_in_the_tier_of_its_issuer(counted):
    limits = tier("partners", 5)
    rows = issuer(tier=limits[0])
    with guarded(route(), rows, *limits):
        Call(headers={"Authorization": f"Bearer {token()}"}).wsgi()
    assert counted == [(f"jwt:{rows.pk}:alice", 1, ["partners-1"])]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        pytest.param("gold", "gold-1", id="a tier"),
        pytest.param("lead", "partners-1", id="no such tier"),
        pytest.param(None, "partners-1", id="no claim"),
        pytest.param(["gold"], "partners-1", id="not a string"),
        pytest.param({"gold": 1}, "partners-1", id="an object"),
    ],
)
def test_a_claim_may_name_the_tier(claim, expected, counted):
    limits, gold = tier("partners", 5), tier("gold", 50)
    row = issuer(tier=limits[0], tier_claim="plan")
    with guarded(route(), row, *limits, *gold):
        response = Call(headers={"Authorization": f"Bearer {token(plan=claim)}"}).wsgi()
    assert response.status_code == 200
    assert [names for _, _, names in counted] == [[expected]]


def test_a_tier_claim_is_ignored_where_the_issuer_names_none(counted):
    limits, gold = tier("partners", 5), tier("gold", 50)
    with guarded(route(), issuer(tier=limits[0]), *limits, *gold):
        Call(headers={"Authorization": f"Bearer {token(**{'': 'gold', 'tier': 'gold'})}"}).wsgi()
    assert [names for _, _, names in counted] == [["partners-1"]]


# -- who is not identified ------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("access", ["public", "credentials"])
@pytest.mark.parametrize(
    ("sent", "proxies", "principal"),
    [
        pytest.param({}, [], "ip:127.0.0.1", id="the peer"),
        pytest.param({"X-Forwarded-For": "192.0.2.7"}, [], "ip:127.0.0.1", id="a stranger's word"),
        pytest.param(
            {"X-Forwarded-For": "192.0.2.7"}, ["127.0.0.1"], "ip:192.0.2.7", id="a proxy's word"
        ),
        pytest.param(
            {"X-Forwarded-For": "2001:db8:0:1::5"},
            ["127.0.0.1"],
            "ip:2001:db8:0:1::/64",
            id="IPv6 by /64",
        ),
    ],
)
def test_without_a_credential_the_address_is_counted(
    door, access, sent, proxies, principal, counted
):
    limits = tier("anonymous", 5)
    rows = [route(access=access, anonymous_tier=limits[0]), *limits]
    with guarded(*rows, TRUSTED_PROXIES=proxies):
        DOORS[door](Call(headers=sent))
    assert counted == [(principal, 1, ["anonymous-1"])]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/api/plain", ("user:5", ["users-1"]), id="a Django view"),
        pytest.param("/api/drf/unthrottled", ("user:5", ["users-1"]), id="DRF, not throttled"),
        pytest.param("/api/drf/session", ("user:5", ["users-1"]), id="DRF, throttled by tier"),
        pytest.param("/api/nowhere", ("ip:127.0.0.1", ["anonymous-1"]), id="no view"),
    ],
)
def test_an_application_route_counts_who_is_signed_in(door, path, expected, counted):
    users, anonymous = tier("users", 5), tier("anonymous", 5)
    row = route(access="application", user_tier=users[0], anonymous_tier=anonymous[0])
    with guarded(row, *users, *anonymous), override_settings(MIDDLEWARE=SIGNED_IN):
        DOORS[door](Call(path=path, headers={"X-User": "5"}))
    assert [(principal, names) for principal, _, names in counted] == [expected]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "path",
    [
        "/api/plain",
        "/api/async",
        "/api/drf/open",
        "/api/drf/unthrottled",
        "/api/drf",
        "/api/nowhere",
        "/api/fails",
    ],
)
def test_an_application_route_counts_nobody_by_address_and_once(door, path, counted):
    users, anonymous = tier("users", 5), tier("anonymous", 5)
    row = route(access="application", user_tier=users[0], anonymous_tier=anonymous[0])
    with guarded(row, *users, *anonymous):
        DOORS[door](Call(path=path))
    assert counted == [("ip:127.0.0.1", 1, ["anonymous-1"])]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open", "/api/nowhere", "/api/async"])
def test_over_the_limit_an_application_route_answers_429_everywhere(door, path):
    anonymous = tier("anonymous", 1)
    row = route(access="application", anonymous_tier=anonymous[0])
    with guarded(row, *anonymous):
        answers = [DOORS[door](Call(path=path, headers={"X-Request-ID": "i"})) for _ in range(2)]
    assert answers[0].status_code in (200, 404)
    assert answers[1].status_code == 429
    assert answers[1].json()["error"] == "too_many_requests"
    assert answers[1].json()["violated-policies"] == ["anonymous-1"]
    assert answers[1].headers["Retry-After"] == str(answers[1].json()["retryAfter"])
    assert answers[1].headers["Content-Type"] == "application/problem+json"
    assert answers[1].headers["Cache-Control"] == "no-store"
    assert answers[1].headers["X-RateLimit-Remaining"] == "0"
    assert answers[1].wsgi_request.apiguard.verdict.refused if door == "wsgi" else True


def test_an_application_route_counts_nothing_without_tiers(counted):
    with guarded(route(access="application")):
        assert Call().wsgi().status_code == 200
    assert counted == []


def test_an_application_route_does_not_touch_the_session_without_tiers():
    with guarded(route(access="application")):
        response = Call(path="/api/get-only").wsgi()
    assert "Cookie" not in response.headers.get("Vary", "")


# -- cost, overrides, denial ----------------------------------------------------


def test_a_route_s_cost_is_what_one_request_uses_up():
    limits = tier("anonymous", 25)
    rows = [
        route(anonymous_tier=limits[0]),
        route("/api/export", cost=10, anonymous_tier=limits[0]),
    ]
    with guarded(*rows, *limits):
        paths = ["/api/export", "/api/plain", "/api/export", "/api/export", "/api/plain"]
        answers = [Call(path=path).wsgi() for path in paths]
    assert [response.status_code for response in answers] == [200, 200, 200, 429, 200]
    remaining = [response.headers["X-RateLimit-Remaining"] for response in answers]
    assert remaining == ["15", "14", "4", "4", "3"]


def test_what_is_denied_consumes_nothing_anywhere():
    limits = tier("anonymous", 1, 10)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        answers = [Call().wsgi() for _ in range(4)]
    assert [response.status_code for response in answers] == [200, 429, 429, 429]
    assert all('"anonymous-2";r=9' in response.headers["RateLimit"] for response in answers)


@pytest.mark.parametrize(
    ("amount", "until", "admitted"),
    [
        pytest.param(3, None, 3, id="for good"),
        pytest.param(3, datetime.now(UTC) + HOUR, 3, id="until later"),
        pytest.param(3, datetime.now(UTC) - HOUR, 2, id="over"),
        pytest.param(1, None, 1, id="less"),
    ],
)
def test_an_override_is_another_amount_for_one_client(amount, until, admitted):
    limits = tier("standard", 2)
    caller, other = Caller(tier=limits[0]), Caller(tier=limits[0])
    other.client.slug = "other"
    override = LimitOverride(client=caller.client, limit=limits[1], amount=amount, until=until)
    with guarded(route(), *limits, *caller.rows, *other.rows, override):
        mine = [Call(headers={"X-API-Key": caller.text}).wsgi() for _ in range(4)]
        theirs = [Call(headers={"X-API-Key": other.text}).wsgi() for _ in range(4)]
    assert [response.status_code for response in mine].count(200) == admitted
    assert [response.status_code for response in theirs].count(200) == 2


def test_two_keys_of_a_client_share_a_quota():
    limits = tier("standard", 2)
    first = Caller(tier=limits[0])
    second = Caller(tier=limits[0])
    second.row.client = first.client
    with guarded(route(), *limits, first.client, first.row, second.row):
        texts = [first.text, second.text, first.text]
        answers = [Call(headers={"X-API-Key": text}).wsgi().status_code for text in texts]
    assert answers == [200, 200, 429]


def test_a_limit_of_another_route_does_not_count_here():
    limits = tier("anonymous", 9)
    dear = route("/api/export", anonymous_tier=limits[0])
    limits[1].route = dear
    with guarded(route(anonymous_tier=limits[0]), dear, *limits):
        here, there = Call().wsgi(), Call(path="/api/export").wsgi()
    assert "RateLimit" not in here.headers
    assert there.headers["RateLimit"].startswith('"anonymous-1";r=8')


def test_what_a_view_has_done_is_never_answered_as_if_it_had_not():
    anonymous = tier("anonymous", 2)
    row = route(access="application", anonymous_tier=anonymous[0])
    views.Chosen.ran = 0
    with guarded(row, *anonymous):
        call = Call(method="POST", path="/api/drf/chosen", content_type="application/json")
        answers = [call.wsgi() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 429, 429, 429]
    assert views.Chosen.ran == 2


# -- the counter is away --------------------------------------------------------


@pytest.fixture
def store_away(monkeypatch):
    """A store that fails; how often it was asked."""
    asked = []

    def check(_):
        asked.append(1)
        raise StoreFailed("no answer")

    store = ResilientCounter(SimpleNamespace(check=check), MemoryCounter(), CircuitBreaker())
    here = PolicyCounter(store, Denials())
    monkeypatch.setattr(effects, "limit_counter", lambda _: here)
    return asked


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
@pytest.mark.parametrize(
    ("policy", "expected"), [("open", [200, 200]), ("local", [200, 429]), ("closed", [503, 503])]
)
def test_without_the_store_a_limit_does_what_it_says(door, path, policy, expected, store_away):
    limits = tier("anonymous", 1, on_store_failure=policy)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        answers = [DOORS[door](Call(path=path)) for _ in range(2)]
    assert [response.status_code for response in answers] == expected
    if policy == "closed":
        assert {response.headers["Retry-After"] for response in answers} == {"1"}
        assert {response.json()["error"] for response in answers} == {"service_unavailable"}


def test_a_store_that_stays_away_is_soon_left_alone(store_away):
    limits = tier("anonymous", 1, on_store_failure="open")
    with guarded(route(anonymous_tier=limits[0]), *limits):
        answers = [Call().wsgi() for _ in range(20)]
    assert {response.status_code for response in answers} == {200}
    assert len(store_away) == FAILURES


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_who_hammers_after_a_denial_costs_the_store_nothing(client, monkeypatch):
    asked = []
    counter = MemoryCounter()

    def check(one):
        asked.append(one.cost)
        return counter.check(one)

    here = PolicyCounter(SimpleNamespace(check=check), Denials())
    monkeypatch.setattr(effects, "limit_counter", lambda _: here)
    limits = tier("anonymous", 1)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        call = Call()
        send = call.wsgi if client is Client else call.asgi
        answers = [send() for _ in range(12)]
    assert [response.status_code for response in answers] == [200] + [429] * 11
    assert asked == [1, 1]
    assert all(int(response.headers["Retry-After"]) >= 59 for response in answers[1:])


def test_what_a_shadow_limit_would_have_refused_is_noted_and_never_shown():
    buffer._reset()
    limits = tier("anonymous", 1, mode="shadow")
    with guarded(route(anonymous_tier=limits[0]), *limits):
        answers = [Call().wsgi() for _ in range(3)]
    assert {response.status_code for response in answers} == {200}
    assert all("RateLimit" not in response.headers for response in answers)
    assert sum(buffer._pending.shadowed.values()) == 2


# -- settings -------------------------------------------------------------------


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_switched_off_nothing_is_counted_or_refused(client, counted):
    limits = tier("anonymous", 1)
    row = route(access="credentials", methods=["PUT"], anonymous_tier=limits[0])
    with guarded(row, *limits, ENABLED=False):
        call = Call(path="/api/drf/open")
        response = call.wsgi(Client()) if client is Client else call.asgi(AsyncClient())
    assert response.status_code == 200
    assert "X-Request-ID" not in response.headers
    assert counted == []


def test_switched_off_drf_still_authenticates_and_asks_for_scopes(counted):
    limits = tier("standard", 1)
    caller = Caller(tier=limits[0])
    with guarded(route(access="credentials"), *limits, *caller.rows, ENABLED=False):
        good = Call(path="/api/drf", headers={"X-API-Key": caller.text}).wsgi()
        nobody = Call(path="/api/drf").wsgi()
        bad = Call(path="/api/drf/open", headers={"X-API-Key": "ag_x"}).wsgi()
        scope = Call(path="/api/drf/scoped", headers={"X-API-Key": caller.text}).wsgi()
    statuses = [response.status_code for response in (good, nobody, bad, scope)]
    # Nobody: sessions, the project's own first class, have no challenge.
    assert statuses == [200, 403, 401, 403]
    assert counted == []


def test_the_route_of_an_exempt_path_holds_for_nobody(counted, monkeypatch):
    from apiguard.policy.holder import holder

    def never():
        raise AssertionError("An exempt path asks for no policy.")

    limits = tier("anonymous", 1)
    row = route(access="credentials", anonymous_tier=limits[0])
    paths = ["/api/drf/open", "/api/get-only", "/api/drf/nowhere"]
    with guarded(row, *limits, EXEMPT_PATHS=["/api/drf/", "/api/get-only"]):
        monkeypatch.setattr(holder, "ready", never)
        monkeypatch.setattr(holder, "snapshot", never)
        answers = [Call(path=path).wsgi() for path in paths]
        answers += [Call(path=path).asgi() for path in paths]
    assert [response.status_code for response in answers] == [200, 200, 404] * 2
    assert all("X-Request-ID" not in response.headers for response in answers)
    assert counted == []


@pytest.mark.parametrize("door", DOORS)
def test_a_user_of_the_project_s_own_authentication_is_counted_by_drf(door, counted):
    users, anonymous = tier("users", 5), tier("anonymous", 5)
    row = route(access="application", user_tier=users[0], anonymous_tier=anonymous[0])
    call = Call(path="/api/drf/own", headers={"Authorization": "Bearer projects-own"})
    with guarded(row, *users, *anonymous):
        response = DOORS[door](call)
    assert counted == [("user:77", 1, ["users-1"])]
    assert response.headers["X-RateLimit-Remaining"] == "4"
