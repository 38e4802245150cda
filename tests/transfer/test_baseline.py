from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import path

from apiguard.errors import PathError
from apiguard.models import (
    AllowedOrigin,
    CorsPolicy,
    HeaderPolicy,
    Limit,
    PolicyChange,
    PolicyState,
    ResponseHeader,
    Route,
    Tier,
    acting,
)
from apiguard.policy import load
from apiguard.policy.compile import compile_rows
from apiguard.transfer import baseline
from apiguard.transfer.baseline import PRESETS, write_baseline
from apiguard.transfer.corsheaders import write as import_origins
from apiguard.transfer.corsheaders_settings import read as read_settings

pytestmark = pytest.mark.django_db

EVERY_ROW = 1 + 9 + 3 + 4 + 1 + 1


def test_the_header_policy_is_the_recommended_one():
    write_baseline()
    rows = ResponseHeader.objects.filter(policy__name="api")
    assert {(row.name, row.value, row.condition, row.mode) for row in rows} == {
        ("X-Content-Type-Options", "nosniff", "always", "force"),
        ("Referrer-Policy", "strict-origin-when-cross-origin", "always", "force"),
        ("X-Frame-Options", "DENY", "always", "force"),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains", "https", "force"),
        ("X-Powered-By", "", "always", "remove"),
        (
            "Cache-Control",
            "no-store, no-cache, must-revalidate, proxy-revalidate",
            "always",
            "default",
        ),
        ("Pragma", "no-cache", "always", "default"),
        ("Expires", "0", "always", "default"),
        (
            "Content-Security-Policy",
            "default-src 'none'; frame-ancestors 'none'",
            "always",
            "default",
        ),
    }


def test_the_strict_preset_leaves_nothing_to_the_views():
    write_baseline(preset="strict")
    rows = ResponseHeader.objects.filter(policy__name="strict")
    sent = {row.name: row.value for row in rows if row.mode == "force"}
    assert sent.pop("Permissions-Policy").startswith("accelerometer=(), autoplay=(), camera=()")
    assert sent == {
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            "default-src 'none'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
        ),
        "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    removed = {row.name for row in rows if row.mode == "remove"}
    assert removed == {"Server", "X-Powered-By", "X-XSS-Protection"}
    assert Route.objects.get().header_policy.name == "strict"
    assert not HeaderPolicy.objects.filter(name="api").exists()


@pytest.mark.parametrize("preset", PRESETS)
def test_hsts_is_sent_over_https_alone(preset):
    write_baseline(preset=preset)
    rows = ResponseHeader.objects.filter(condition="https")
    assert [row.name for row in rows] == ["Strict-Transport-Security"]


def test_another_preset_leaves_a_route_that_was_there_as_it_is():
    write_baseline()
    assert "header policy 'strict'" in write_baseline(preset="strict")
    assert Route.objects.get().header_policy.name == "api"


@pytest.mark.parametrize(
    ("slug", "limits"),
    [
        pytest.param("anonymous", [("per-minute", 60, 60)], id="anonymous"),
        pytest.param("free", [("per-minute", 100, 60)], id="free"),
        pytest.param(
            "standard", [("per-minute", 1000, 60), ("per-day", 50_000, 86_400)], id="standard"
        ),
    ],
)
def test_a_tier_has_strict_sliding_windows(slug, limits):
    write_baseline()
    rows = Limit.objects.filter(tier__slug=slug).order_by("pk")
    assert [(row.name, row.amount, row.period) for row in rows] == limits
    assert {(row.kind, row.mode, row.route_id) for row in rows} == {("window", "enforce", None)}


def test_the_cors_policy_allows_nobody_yet():
    write_baseline()
    policy = CorsPolicy.objects.get(name="browser-apps")
    assert not AllowedOrigin.objects.exists()
    assert policy.allowed_methods == ["GET", "POST", "PUT", "PATCH", "DELETE"]
    assert policy.allowed_headers == [
        "Authorization",
        "Content-Type",
        "X-API-Key",
        "X-Request-ID",
        "X-API-Version",
    ]
    assert set(policy.exposed_headers) == {
        "X-Request-ID",
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "RateLimit-Policy",
        "RateLimit",
    }
    assert policy.allow_credentials
    assert policy.refuse_foreign_origins
    assert policy.max_age == 86_400


def test_the_headers_of_the_cors_policy_are_those_that_the_settings_name():
    with override_settings(
        APIGUARD={"API_KEY_HEADER": "X-Shop-Key", "REQUEST_ID_HEADER": "X-Trace"}
    ):
        write_baseline()
    policy = CorsPolicy.objects.get()
    assert {"X-Shop-Key", "X-Trace"} <= set(policy.allowed_headers)
    assert policy.exposed_headers[0] == "X-Trace"


@pytest.mark.parametrize(
    ("enforce", "mode"),
    [pytest.param(False, "observe", id="observes"), pytest.param(True, "enforce", id="enforces")],
)
def test_the_route_asks_for_credentials_and_json(enforce, mode):
    write_baseline(enforce=enforce)
    route = Route.objects.get(name="api")
    assert (route.path_prefix, route.mode, route.access) == ("/api/", mode, "credentials")
    assert (route.accepts, route.produces) == (["application/json"], ["application/json"])
    assert route.max_body_bytes == 1_048_576
    assert (route.methods, route.required_scopes, route.cost) == ([], [], 1)
    assert route.cors_policy == CorsPolicy.objects.get()
    assert route.header_policy == HeaderPolicy.objects.get()
    assert route.anonymous_tier.slug == "anonymous"
    assert route.user_tier.slug == "free"


def test_a_project_that_signs_people_in_by_itself_goes_on_as_before():
    write_baseline(access="application")
    route = Route.objects.get()
    assert (route.access, route.mode) == ("application", "observe")
    assert (route.accepts, route.produces, route.methods) == ([], [], [])
    assert (route.max_body_bytes, route.cors_policy) == (None, None)
    tiers = (route.anonymous_tier, route.user_tier)
    assert {limit.mode for tier in tiers for limit in tier.limits.all()} == {"shadow"}
    assert {row.mode for row in route.header_policy.headers.all()} == {"default", "remove"}
    of_json = route.header_policy.headers.exclude(content_types=[])
    assert {row.name for row in of_json} == {
        *("Cache-Control", "Content-Security-Policy"),
        *("Expires", "Pragma"),
    }


def test_both_baselines_stand_side_by_side():
    write_baseline()
    assert "route '/shop/'" in write_baseline("/shop/", access="application")
    assert "route '/shop/v2/'" in write_baseline("/shop/v2/", access="application")
    tier = Route.objects.get(path_prefix="/api/").anonymous_tier
    assert {limit.mode for limit in tier.limits.all()} == {"enforce"}


def test_origins_are_imported_into_a_route_without_a_cors_policy():
    write_baseline(access="application")
    settings = SimpleNamespace(CORS_ALLOWED_ORIGINS=["https://app.example.com"])
    assert "route 'api'" in import_origins(read_settings(settings), prefix="/api/")
    assert Route.objects.get().cors_policy.name == "corsheaders"


def upload(request):
    return JsonResponse({"body": len(request.body), "type": request.content_type})


def page(request):
    return HttpResponse("<form></form>", headers={"X-Frame-Options": "SAMEORIGIN"})


def events(request):
    return StreamingHttpResponse(["data: 1\n\n"], content_type="text/event-stream")


urlpatterns = [path("api/upload", upload), path("api/page", page), path("api/events", events)]


@pytest.fixture
def guarded(settings):
    settings.ROOT_URLCONF = __name__
    write_baseline(access="application", enforce=True)
    return Client()


@pytest.mark.parametrize(
    "sent",
    [
        {"data": b"\x89PNG", "content_type": "image/png"},
        {"data": b"x" * 2_000_000, "content_type": "application/octet-stream"},
        {"data": {"a": "b"}},
        {"data": b"a=b", "content_type": "application/x-www-form-urlencoded"},
        {"data": b"{ me }", "content_type": "application/graphql-response+json"},
    ],
)
def test_uploads_and_forms_are_accepted(guarded, sent):
    assert guarded.post("/api/upload", **sent).status_code == 200


def test_a_put_without_a_content_type_is_accepted(guarded):
    assert guarded.generic("PUT", "/api/upload", b"abc", content_type="").json()["body"] == 3


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream", "image/png"])
def test_every_accept_header_is_accepted(guarded, accept):
    assert guarded.get("/api/page", headers={"Accept": accept}).status_code == 200


def test_pages_and_event_streams_are_sent_as_the_view_made_them(guarded):
    sent, streamed = guarded.get("/api/page"), guarded.get("/api/events")
    assert sent["X-Frame-Options"] == "SAMEORIGIN"
    for response in (sent, streamed):
        assert "Content-Security-Policy" not in response
        assert "Cache-Control" not in response
    assert guarded.get("/api/upload")["Content-Security-Policy"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_baseline_compiles_without_a_problem(preset):
    write_baseline(preset=preset)
    _state, rows = load.rows(load.state())
    assert compile_rows(rows).problems == ()


def test_each_row_that_was_made_is_named_once():
    made = write_baseline()
    assert len(made) == len(set(made)) == EVERY_ROW
    assert "response header 'Pragma' of header policy 'api'" in made
    assert made[-1] == "route 'api'"


def test_a_second_time_changes_nothing():
    write_baseline()
    before = PolicyState.objects.get().revision
    assert write_baseline(enforce=True) == []
    assert PolicyState.objects.get().revision == before
    assert Route.objects.get().mode == "observe"


def test_what_staff_changed_is_left_alone():
    write_baseline()
    ResponseHeader.objects.filter(name="Pragma").delete()
    Limit.objects.filter(tier__slug="free").update(amount=7)
    Route.objects.update(name="renamed")
    assert write_baseline() == []
    assert not ResponseHeader.objects.filter(name="Pragma").exists()
    assert Limit.objects.get(tier__slug="free").amount == 7


def test_a_row_that_is_missing_is_made_again():
    write_baseline()
    Route.objects.all().delete()
    assert write_baseline() == ["route 'api'"]


def test_a_tier_that_was_there_keeps_its_limits():
    tier = Tier(slug="free", name="Ours")
    tier.save()
    made = write_baseline()
    assert not tier.limits.exists()
    assert not [line for line in made if "Free" in line]


@pytest.mark.parametrize("prefix", ["/v2/", "/v2"])
def test_another_prefix_gets_a_route_of_its_own_name(prefix):
    write_baseline()
    assert write_baseline(prefix) == ["route '/v2/'"]
    assert Route.objects.get(path_prefix="/v2/").name == "/v2/"


def test_the_name_api_is_used_if_it_is_free():
    write_baseline("/v2/")
    assert Route.objects.get().name == "api"


def test_a_prefix_that_no_request_has_writes_nothing():
    with pytest.raises(PathError):
        write_baseline("api/*")
    assert not Tier.objects.exists()


def test_all_of_it_is_written_or_nothing():
    Route(name="api", path_prefix="/one/").save()
    Route(name="/api/", path_prefix="/two/").save()
    with pytest.raises(ValidationError):
        write_baseline()
    assert not Tier.objects.exists()
    assert not HeaderPolicy.objects.exists()


def test_rows_that_somebody_makes_meanwhile_are_taken(monkeypatch):
    calls = []

    def lost_race(prefix, enforce, preset, fields):
        calls.append(prefix)
        if len(calls) == 1:
            raise IntegrityError
        return []

    monkeypatch.setattr(baseline, "_write", lost_race)
    assert write_baseline() == []
    assert calls == ["/api/", "/api/"]


def test_the_history_says_who_made_it():
    with acting(name="somebody"):
        write_baseline()
    changes = PolicyChange.objects.all()
    assert len(changes) == EVERY_ROW
    assert {(change.action, change.actor_name) for change in changes} == {("created", "somebody")}
