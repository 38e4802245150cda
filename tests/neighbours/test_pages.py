"""Pages of other packages are the same under an enforced baseline for existing projects."""

from __future__ import annotations

import json
import re

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from apiguard.transfer.baseline import write_baseline
from tests.request.site import DOORS, MIDDLEWARE, WITHOUT_OURS, Call

WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
TOOLBAR = "debug_toolbar.middleware.DebugToolbarMiddleware"

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HTMX = {"Accept": "*/*", "HX-Request": "true"}
FORM = "application/x-www-form-urlencoded"

# What is asked for -> the call, its status and its media type.
PAGES = {
    "htmx: a form with errors": (
        Call("POST", "/api/form", HTMX, b"a=b", FORM),
        422,
        "text/html",
    ),
    "an event stream": (
        Call(path="/api/events", headers={"Accept": "text/event-stream"}),
        200,
        "text/event-stream",
    ),
    "ninja: docs": (Call(path="/api/ninja/docs", headers=BROWSER), 200, "text/html"),
    "ninja: schema": (Call(path="/api/ninja/openapi.json"), 200, "application/json"),
    "ninja: an operation": (
        Call("POST", "/api/ninja/orders", body=b'{"amount": 5}'),
        200,
        "application/json",
    ),
    "ninja: errors of a body": (
        Call("POST", "/api/ninja/orders", body=b'{"amount": "x"}'),
        422,
        "application/json",
    ),
    "GraphiQL": (Call(path="/api/graphql", headers=BROWSER), 200, "text/html"),
    "GraphQL: a query": (
        Call("POST", "/api/graphql", body=b'{"query": "{ hello }"}'),
        200,
        "application/json",
    ),
    "GraphQL: an error": (
        Call("POST", "/api/graphql", body=b'{"query": "{ nothing }"}'),
        400,
        "application/json",
    ),
    "WhiteNoise: a file": (
        Call(path="/static/admin/css/base.css", headers={"Accept": "text/css,*/*;q=0.1"}),
        200,
        "text/css",
    ),
    "WhiteNoise: a part of a file": (
        Call(path="/static/admin/css/base.css", headers={"Range": "bytes=0-9"}),
        206,
        "text/css",
    ),
}


def site(middleware, **settings):
    return override_settings(
        ROOT_URLCONF="tests.neighbours.application_pages",
        INSTALLED_APPS=[*django_settings.INSTALLED_APPS, "graphene_django", "debug_toolbar"],
        MIDDLEWARE=middleware,
        **settings,
    )


@pytest.fixture
def _enforced(db):
    write_baseline(prefix="/", access="application", enforce=True)


# Django masks a CSRF token anew in each page.
CSRF_TOKEN = re.compile(rb"[A-Za-z0-9]{64}")


def body_of(response):
    return response.getvalue() if response.streaming else CSRF_TOKEN.sub(b"", response.content)


def vary(response):
    return {name.strip() for name in response.get("Vary", "").split(",")} - {""}


@pytest.mark.usefixtures("_enforced")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_the_same_with_the_guard(name, door):
    call, status, media_type = PAGES[name]
    with_static = [WITHOUT_OURS[0], WHITENOISE, *WITHOUT_OURS[1:]]
    with site(with_static):
        before = DOORS[door](call)
    with site([MIDDLEWARE[0], *with_static]):
        after = DOORS[door](call)
    assert after.status_code == before.status_code == status
    assert after["Content-Type"].partition(";")[0] == media_type
    assert body_of(after) == body_of(before)
    for header, value in before.items():
        assert header == "Vary" or after[header] == value
    assert vary(before) <= vary(after)
    assert "X-Request-ID" in after
    # A page may have scripts: the policy for JSON would stop them.
    assert ("Content-Security-Policy" in after) == (media_type == "application/json")


@pytest.mark.usefixtures("_enforced")
@pytest.mark.parametrize("door", DOORS)
def test_the_debug_toolbar_is_in_pages_and_not_in_refusals(door):
    middleware = [MIDDLEWARE[0], TOOLBAR, *MIDDLEWARE[1:]]
    # Not the panel of SQL, which wraps the connections of this process for good.
    panels = ["debug_toolbar.panels.headers.HeadersPanel"]
    with site(middleware, DEBUG=True, INTERNAL_IPS=["127.0.0.1"], DEBUG_TOOLBAR_PANELS=panels):
        shown = DOORS[door](Call(path="/api/page", headers=BROWSER))
        refused = DOORS[door](
            Call(path="/api/page", headers={**BROWSER, "Authorization": "ApiKey ag_x"})
        )
    assert shown.status_code == 200
    assert b'id="djDebug"' in shown.content
    assert "Content-Security-Policy" not in shown
    assert refused.status_code == 401
    assert json.loads(refused.content)["error"] == "invalid_api_key"
