"""Compiling: a bad row never loosens policy, never delays the others, never raises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test.utils import override_settings

from apiguard.models import (
    Client,
    HeaderPolicy,
    LimitOverride,
)
from apiguard.policy.records import client_record
from tests.policy.rows import (
    broken,
    codes,
    compiled,
    cors,
    header,
    issuer,
    limit,
    origin,
    route,
    tier,
)

# -- routes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"path_prefix": "r1//"}, "no_leading_slash", id="a prefix of raw SQL"),
        pytest.param({"cost": 0}, "bad_cost", id="no cost"),
        pytest.param({"cost": "dear"}, "wrong_type", id="a cost that is no number"),
        pytest.param({"cost": None}, "wrong_type", id="a cost that is not there"),
        pytest.param({"cost": True}, "wrong_type", id="a cost that is a boolean"),
        pytest.param({"mode": "maybe"}, "unknown_choice", id="an unknown mode"),
        pytest.param({"access": "private"}, "unknown_choice", id="an unknown access"),
        pytest.param({"required_scopes": ["a b"]}, "bad_scope", id="a scope with a space"),
        pytest.param({"required_scopes": "a"}, "not_a_list", id="a string of scopes"),
        pytest.param({"methods": ["get"]}, None, id="a method in lower case"),
        pytest.param({"methods": {"GET": 1}}, "not_a_list", id="a dict of methods"),
        pytest.param({"accepts": ["json"]}, None, id="no media range"),
        pytest.param({"produces": ["*/*"]}, None, id="no media type"),
        pytest.param({"max_body_bytes": "1 MiB"}, "wrong_type", id="a size that is no number"),
        pytest.param(
            {"access": "public", "required_scopes": ["a"]},
            "scopes_without_credentials",
            id="scopes of nobody",
        ),
        pytest.param({"cors_policy_id": 9}, "missing_row", id="a missing CORS policy"),
        pytest.param({"header_policy_id": 9}, "missing_row", id="a missing header policy"),
        pytest.param({"anonymous_tier_id": 9}, "missing_row", id="a missing tier"),
        pytest.param({"user_tier_id": 9}, "missing_row", id="a missing tier of users"),
    ],
)
def test_a_route_with_an_error_is_broken_and_no_other(fields, code):
    snapshot = compiled(route(1, **fields), route(2))
    assert broken(snapshot) == {"r1"}
    assert snapshot.routes.find("/r1/x").broken
    assert not snapshot.routes.find("/r2/x").broken
    assert {problem.pk for problem in snapshot.problems} == {1}
    assert code is None or code in codes(snapshot)


def test_an_unknown_mode_enforces():
    assert compiled(route(mode="maybe")).routes.find("/r1/").mode == "enforce"


@pytest.mark.parametrize(
    "prefix",
    ["/a/*", "/a/**", "/a/*/b", "https://x/a/", "/%61/", "/a/.", "/a\\", "/a/?", "/a/#", "a//"],
)
def test_what_a_mistaken_prefix_was_to_guard_is_refused_not_opened(prefix):
    snapshot = compiled(route(1, path_prefix=prefix), route(2))
    assert {problem.pk for problem in snapshot.problems} == {1}
    assert snapshot.routes.find("/a/x").broken
    assert snapshot.routes.find("/other") is None


@pytest.mark.parametrize("prefix", ["", "*", "/a\x00b/", None, 7])
def test_a_prefix_that_no_path_has_guards_nothing_and_is_reported(prefix):
    snapshot = compiled(route(1, path_prefix=prefix), route(2))
    assert [problem.pk for problem in snapshot.problems] == [1]
    assert set(snapshot.routes._entries) == {"/r2/"}


def test_a_route_that_is_off_is_as_if_absent():
    snapshot = compiled(route(1, path_prefix="/api/"), route(2, path_prefix="/api/x/", mode="off"))
    assert snapshot.routes.find("/api/x/y").name == "r1"


@pytest.mark.parametrize("modes", [("enforce", "observe"), ("observe", "enforce")])
def test_two_routes_of_one_prefix_are_broken_and_enforced(modes):
    snapshot = compiled(*(route(at, path_prefix="/a", mode=mode) for at, mode in enumerate(modes)))
    found = snapshot.routes.find("/a/")
    assert "duplicate_prefix" in [problem.error.code for problem in found.broken]
    assert found.enforced


def test_a_duplicate_that_is_off_disturbs_nobody():
    snapshot = compiled(route(1, path_prefix="/a/"), route(2, path_prefix="/a", mode="off"))
    assert snapshot.problems == ()
    assert not broken(snapshot)


def test_a_route_is_compiled_as_it_is_enforced():
    row = route(
        methods=["GET", "POST"],
        accepts=["application/json", "image/*"],
        produces=["application/json"],
        required_scopes=["b", "a"],
        max_body_bytes=10,
        cost=3,
        mode="observe",
    )
    found = compiled(row).routes.find("/r1")
    assert found.methods == {"GET", "HEAD", "POST"}
    assert (found.allow, found.accept) == ("GET, HEAD, POST", "application/json, image/*")
    assert found.required_scopes == ("a", "b")
    assert (found.max_body_bytes, found.cost, found.enforced) == (10, 3, False)


# -- CORS and headers ----------------------------------------------------------------------


def origins_of(snapshot):
    return snapshot.routes.find("/r1/").cors.origins


@pytest.mark.parametrize(
    ("row", "policy"),
    [
        pytest.param(origin("https://a.example/path"), {}, id="a path"),
        pytest.param(origin("null"), {}, id="null"),
        pytest.param(origin(5), {}, id="a number"),
        pytest.param(origin("*"), {"allow_credentials": True}, id="* with credentials"),
        pytest.param(
            origin("http://a.example"), {"allow_credentials": True}, id="http with credentials"
        ),
        pytest.param(origin("https://*.github.io"), {}, id="a public suffix"),
    ],
)
def test_a_bad_origin_matches_nothing_and_no_other_is_disturbed(row, policy):
    good = origin("https://good.example", pk=2)
    snapshot = compiled(cors(**policy), row, good, route(cors_policy_id=1))
    assert origins_of(snapshot).match("https://good.example")
    assert not any(
        origins_of(snapshot).match(text)
        for text in ("https://a.example", "null", "http://a.example", "https://x.github.io")
    )
    assert {(problem.model, problem.pk) for problem in snapshot.problems} == {("allowedorigin", 1)}
    assert not broken(snapshot)


@pytest.mark.parametrize(
    "policies",
    [
        pytest.param([], id="gone"),
        pytest.param([cors(allowed_methods=["get"])], id="broken"),
        pytest.param([cors()], id="good"),
    ],
)
def test_what_is_wrong_with_an_origin_is_reported_whatever_its_policy_is(policies):
    snapshot = compiled(*policies, origin("null"), origin("https://good.example", pk=2))
    told = [problem.pk for problem in snapshot.problems if problem.model == "allowedorigin"]
    assert told == [1]


def test_the_limits_of_a_route_keep_their_order_among_those_of_all_routes():
    limits = [limit(pk, route_id=at) for pk, at in enumerate((1, None, 2, None, 1), start=1)]
    snapshot = compiled(tier(), *limits, route(1), route(2))
    in_order = {at: [one.pk for one in snapshot.tiers[1].limits_at(at)] for at in (1, 2, 3)}
    assert in_order == {1: [1, 2, 4, 5], 2: [2, 3, 4], 3: [2, 4]}


def test_an_origin_that_is_disabled_matches_nothing_and_is_no_problem():
    snapshot = compiled(cors(), origin("https://a.example", enabled=False), route(cors_policy_id=1))
    assert not origins_of(snapshot).match("https://a.example")
    assert snapshot.problems == ()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"allowed_methods": ["get", "PATCH"]}, id="methods"),
        pytest.param({"allowed_headers": ["*"]}, id="headers"),
        pytest.param({"exposed_headers": "X-A"}, id="exposed"),
        pytest.param({"allow_credentials": "yes"}, id="credentials"),
        pytest.param({"refuse_foreign_origins": ""}, id="foreign origins"),
        pytest.param({"max_age": "long"}, id="max age"),
    ],
)
def test_a_bad_cors_policy_allows_nobody_and_refuses_foreign_origins(fields):
    rows = cors(**fields), origin("https://a.example"), route(cors_policy_id=1)
    snapshot = compiled(*rows)
    found = snapshot.routes.find("/r1/").cors
    assert not found.origins.match("https://a.example")
    assert found.refuse_foreign is True
    assert found.preflight_grants == found.response_grants == {}
    assert {problem.model for problem in snapshot.problems} == {"corspolicy"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"name": "X Frame"}, id="name"),
        pytest.param({"name": "Content-Length"}, id="a name that servers write"),
        pytest.param({"value": "a\r\nSet-Cookie: b"}, id="value"),
        pytest.param({"value": ""}, id="no value"),
        pytest.param({"value": 1}, id="a number"),
        pytest.param({"mode": "maybe"}, id="mode"),
        pytest.param({"condition": "never"}, id="condition"),
    ],
)
def test_a_bad_header_breaks_the_routes_of_its_policy_and_no_other(fields):
    snapshot = compiled(
        HeaderPolicy(pk=1, name="h1"),
        HeaderPolicy(pk=2, name="h2"),
        header(1, **fields),
        header(2),
        header(3, policy_id=2),
        route(1, header_policy_id=1),
        route(2, header_policy_id=2),
    )
    assert broken(snapshot) == {"r1"}
    headers = snapshot.routes.find("/r2/").headers.http
    assert {**headers.force, **headers.default} == {"x-frame-options": ("X-Frame-Options", "DENY")}


def test_a_header_of_no_policy_disturbs_nobody():
    assert not broken(compiled(header(policy_id=9), route()))


# -- tiers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"amount": 0}, id="nothing"),
        pytest.param({"amount": None}, id="no amount"),
        pytest.param({"amount": "lots"}, id="an amount that is no number"),
        pytest.param({"amount": 10**10}, id="too much"),
        pytest.param({"period": None}, id="no period"),
        pytest.param({"period": 10**9}, id="too long a period"),
        pytest.param({"calendar": "day"}, id="a window by the calendar"),
        pytest.param({"kind": "quota"}, id="a quota with a period"),
        pytest.param({"kind": "quota", "period": None, "calendar": "year"}, id="a year"),
        pytest.param({"kind": "leaky", "period": None, "calendar": "day"}, id="an unknown kind"),
        pytest.param({"mode": "maybe"}, id="an unknown mode"),
        pytest.param({"on_store_failure": "hope"}, id="an unknown failure"),
        pytest.param({"route_id": 99}, id="of a missing route"),
    ],
)
def test_a_limit_that_cannot_be_counted_breaks_its_tier_and_the_routes_of_that_tier(fields):
    snapshot = compiled(
        tier(1),
        tier(2),
        limit(1, **fields),
        limit(2, tier_id=2),
        route(1, anonymous_tier_id=1),
        route(2, user_tier_id=1, access="application"),
        route(3, anonymous_tier_id=2),
        route(4),
    )
    assert broken(snapshot) == {"r1", "r2"}
    assert (snapshot.tiers[1].broken, snapshot.tiers[2].broken) == (True, False)


def test_limits_are_found_by_the_route_that_a_request_takes():
    snapshot = compiled(
        route(1), route(2), tier(), limit(1), limit(2, route_id=1), limit(3, tier_id=9)
    )
    found = snapshot.tiers[1]
    assert [each.name for each in found.limits_at(1)] == ["l1", "l2"]
    assert [each.name for each in found.limits_at(2)] == ["l1"]
    assert snapshot.tiers_by_slug == {"t1": found}


@pytest.mark.parametrize(
    ("route_id", "expected"),
    [
        pytest.param(1, {"r1"}, id="of the route itself"),
        pytest.param(None, set(), id="of all routes"),
        pytest.param(2, set(), id="of another route"),
    ],
)
def test_a_limit_that_no_request_of_its_route_fits_into_breaks_the_route(route_id, expected):
    rows = route(1, cost=11), route(2), tier(), limit(route_id=route_id)
    snapshot = compiled(*rows)
    assert broken(snapshot) == expected
    assert codes(snapshot) == ["cost_above_amount"] * len(expected)


@pytest.mark.parametrize("amount", ["lots", None, 0])
def test_a_limit_of_one_route_that_cannot_be_counted_stops_nothing(amount):
    snapshot = compiled(route(1), route(2), tier(), limit(route_id=1, amount=amount))
    assert not snapshot.routes.find("/r2/").broken
    assert snapshot.tiers[1].broken


# -- issuers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"audiences": []}, id="no audience"),
        pytest.param({"audiences": [""]}, id="an empty audience"),
        pytest.param({"algorithms": []}, id="no algorithm"),
        pytest.param({"algorithms": ["none"]}, id="none"),
        pytest.param({"algorithms": ["HS256", "RS256"]}, id="two families"),
        pytest.param({"algorithms": 5}, id="a number"),
        pytest.param({"secret_name": "nobody"}, id="an unknown secret"),
        pytest.param({"secret_name": ""}, id="no key source"),
        pytest.param({"leeway": 121}, id="too much leeway"),
        pytest.param({"leeway": "long"}, id="a leeway that is no number"),
        pytest.param({"max_lifetime": "long"}, id="a lifetime that is no number"),
        pytest.param({"token_types": ["id"]}, id="an unknown type"),
        pytest.param({"scope_claim": 5}, id="a claim that is no text"),
    ],
)
def test_a_bad_issuer_matches_nothing_and_no_other_is_disturbed(fields):
    snapshot = compiled(issuer(1, **fields), issuer(2), route())
    assert set(snapshot.issuers) == {"https://i2.example"}
    assert {problem.pk for problem in snapshot.problems} == {1}
    assert not broken(snapshot)


def test_a_disabled_issuer_matches_nothing_and_is_no_problem():
    snapshot = compiled(issuer(enabled=False))
    assert (dict(snapshot.issuers), snapshot.problems) == ({}, ())


def test_no_problem_and_no_repr_holds_a_secret():
    secret = "a-secret-that-is-too-short"
    given_settings = {"POLICY_MAX_AGE": None, "JWT_SECRETS": {"demo": secret, "long": "x" * 64}}
    with override_settings(APIGUARD=given_settings):
        snapshot = compiled(issuer(1), issuer(2, algorithms=["HS512"], secret_name="long"))
    said = "".join(map(str, snapshot.problems)) + repr(snapshot) + repr(snapshot.problems)
    assert secret not in said
    assert "x" * 64 not in said


# -- clients ----------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"allowed_networks": ["192.0.2.1/24"]}, id="host bits"),
        pytest.param({"allowed_networks": "192.0.2.0/24"}, id="a string of networks"),
        pytest.param({"acts_as_owner": True}, id="no owner"),
        pytest.param({"enabled": "no"}, id="an enabled that is no boolean"),
    ],
)
def test_a_client_with_an_error_is_refused(fields):
    assert client_record(Client(**{"pk": 1, "slug": "a", "name": "A", **fields})).broken


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, {1: 99}, id="good"),
        pytest.param({"amount": 0}, {}, id="nothing"),
        pytest.param({"amount": "lots"}, {}, id="no number"),
        pytest.param({"until": "tomorrow"}, {}, id="no instant"),
    ],
)
def test_only_a_good_override_changes_an_amount(fields, expected):
    row = LimitOverride(**{"pk": 1, "client_id": 1, "limit_id": 1, "amount": 99, **fields})
    overrides = client_record(Client(pk=1, slug="a", name="A"), [row]).overrides
    assert {at: override.amount for at, override in overrides.items()} == expected


@override_settings(USE_TZ=False)
def test_instants_of_a_project_without_time_zones_can_be_compared():
    until = datetime(2030, 1, 1)  # noqa: DTZ001 - what such a project stores
    row = LimitOverride(pk=1, client_id=1, limit_id=1, amount=5, until=until)
    overrides = client_record(Client(pk=1, slug="a", name="A"), [row]).overrides
    assert overrides[1].until - datetime.now(UTC) > timedelta(0)


@pytest.mark.parametrize("name", ["per\nminute", "pro Minute \u2013 \u00fc", "", "x" * 65])
def test_a_limit_whose_name_no_header_can_hold_breaks_its_tier(name):
    snapshot = compiled(route(1, anonymous_tier_id=1), tier(), limit(1, name=name))
    assert snapshot.routes.find("/r1/").broken
    assert "bad_name" in codes(snapshot)
