"""Django's cache between the guard and the views: nobody gets a page of somebody else."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.utils.cache import get_cache_key, learn_cache_key

from apiguard import caching
from apiguard.models import ApiKey, Route
from apiguard.models import Client as ClientRow
from tests.neighbours import pages
from tests.request.site import (
    DOORS,
    MIDDLEWARE,
    Call,
    Caller,
    guarded,
    issuer,
    route,
    tier,
    token,
)

UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
PAIR = [MIDDLEWARE[0], UPDATE, *MIDDLEWARE[1:], FETCH]

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"

# Each way to cache a page, with the middleware and a path.
WAYS = {
    "the middleware": (PAIR, "/api/page"),
    "cache_page": (MIDDLEWARE, "/api/cached"),
    "cache_page of another alias": (MIDDLEWARE, "/api/cached-elsewhere"),
    "the recipe of DRF": (MIDDLEWARE, "/api/drf"),
    "both": (PAIR, "/api/cached"),
}


def caches_in(backend, redis_url="", **more):
    alias = {"BACKEND": backend, "KEY_FUNCTION": caching.PATH, **more}
    if backend == DJANGO_REDIS:
        alias |= {"LOCATION": redis_url}
    return {"default": alias, "other": {**alias, "KEY_PREFIX": "other"}}


@pytest.fixture(params=[LOCMEM, DJANGO_REDIS], ids=["locmem", "django-redis"])
def store(request):
    """Both aliases in one store, emptied."""
    redis_url = request.getfixturevalue("redis_url") if request.param == DJANGO_REDIS else ""
    with override_settings(CACHES=caches_in(request.param, redis_url)):
        caches["default"].clear()
        yield


@pytest.fixture(autouse=True)
def _nothing_made():
    pages.made.clear()


@pytest.fixture(params=DOORS)
def ask(request):
    return DOORS[request.param]


@contextmanager
def site(*rows, middleware=MIDDLEWARE):
    with (
        guarded(*rows),
        override_settings(ROOT_URLCONF="tests.neighbours.pages", MIDDLEWARE=middleware),
    ):
        yield


def two_clients():
    both = tier()
    ann = Caller(tier=both[0], client_fields={"slug": "ann"})
    bob = Caller(tier=both[0], client_fields={"slug": "bob"})
    return ann, bob, [*both, *ann.rows, *bob.rows]


def sent_by(caller):
    return {"X-API-Key": caller.text}


@pytest.mark.parametrize("way", WAYS)
def test_each_client_gets_its_own_page_and_gets_it_from_the_cache(store, ask, way):
    middleware, path = WAYS[way]
    ann, bob, rows = two_clients()
    with site(route(access="credentials"), *rows, middleware=middleware):
        for caller in (ann, bob, ann, bob):
            answer = ask(Call(path=path, headers=sent_by(caller)))
            assert answer.json()["client"] == caller.client.slug
    assert pages.made[path] == 2


@pytest.mark.parametrize("way", WAYS)
def test_two_tokens_of_one_subject_are_two_callers(store, ask, way):
    middleware, path = WAYS[way]
    wide, narrow = token(scope="orders:read"), token(scope="orders:write")
    with site(route(access="credentials"), issuer(), middleware=middleware):
        for bearer in (wide, narrow, wide):
            answer = ask(Call(path=path, headers={"Authorization": f"Bearer {bearer}"}))
            allowed = bearer is wide or path != "/api/drf"
            assert answer.status_code == (200 if allowed else 403)
    assert pages.made[path] == (1 if path == "/api/drf" else 2)


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_lost_its_scope_does_not_get_the_cached_page(store, way):
    middleware, _ = WAYS[way]
    row = tier()[0]
    row.save()
    Route.objects.create(name="api", path_prefix="/api/", access="credentials")
    client = ClientRow.objects.create(slug="acme", name="Acme", tier=row)
    key, text = ApiKey.objects.issue(client, "k", scopes=["orders:read"])
    call = Call(path="/api/drf", headers={"X-API-Key": text})
    with override_settings(ROOT_URLCONF="tests.neighbours.pages", MIDDLEWARE=middleware):
        assert call.wsgi().status_code == 200
        assert call.wsgi().status_code == 200
        assert pages.made["/api/drf"] == 1
        key.scopes = []
        key.save()
        assert call.wsgi().status_code == 403


ORDERS = (
    ("key", "session", "nobody", "key", "session"),
    ("nobody", "session", "key", "nobody", "session"),
    ("session", "nobody", "key", "session", "nobody"),
)


@pytest.mark.django_db
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize(
    ("middleware", "path"),
    [
        pytest.param(PAIR, "/api/page", id="the middleware"),
        pytest.param(MIDDLEWARE, "/api/cached-by-cookie", id="cache_page and vary_on_cookie"),
    ],
)
def test_on_an_application_route_sessions_and_keys_do_not_mix(store, ask, order, middleware, path):
    ann, _, rows = two_clients()
    users, nobodies = tier("users", 100), tier("nobodies", 100)
    at = route(access="application", user_tier=users[0], anonymous_tier=nobodies[0])
    signed_in = AsyncClient() if ask is Call.asgi else Client()
    signed_in.force_login(get_user_model().objects.create_user("carol"))
    expected = {
        "key": {"client": "ann"},
        "session": {"user": "carol", "client": None},
        "nobody": {"user": "AnonymousUser", "client": None},
    }
    with site(at, *rows, *users, *nobodies, middleware=middleware):
        for who in order:
            headers = sent_by(ann) if who == "key" else {}
            call = Call(path=path, headers=headers)
            answer = ask(call, signed_in) if who == "session" else ask(call)
            assert expected[who].items() <= answer.json().items(), who
            if who == "session":
                assert "cookie" in answer.headers["Vary"].lower()
    assert pages.made[path] == 3


@pytest.mark.django_db
@pytest.mark.parametrize("access", ["credentials", "application"])
@pytest.mark.parametrize(
    ("middleware", "path"),
    [
        pytest.param(PAIR, "/api/page", id="the middleware"),
        pytest.param(MIDDLEWARE, "/api/cached-by-cookie", id="cache_page and vary_on_cookie"),
    ],
)
def test_two_people_who_use_the_key_of_one_app_do_not_mix(store, access, middleware, path):
    app, _, rows = two_clients()
    people = {}
    for name in ("carol", "dave"):
        people[name] = Client()
        people[name].force_login(get_user_model().objects.create_user(name))
    with site(route(access=access), *rows, middleware=middleware):
        for name in ("carol", "dave", "carol"):
            answer = Call(path=path, headers=sent_by(app)).wsgi(people[name])
            assert answer.json() == {"user": name, "client": "ann"}
    assert pages.made[path] == 2


def test_a_page_for_everybody_is_made_once_for_requests_without_a_credential(store, ask):
    with site(route(access="public"), middleware=PAIR):
        for _ in range(3):
            assert ask(Call(path="/api/cached")).status_code == 200
    assert pages.made["/api/cached"] == 1


# -- the function ------------------------------------------------------------------


class Example:
    """As much of a request as the function reads."""

    class credential:  # noqa: N801 - an attribute
        principal, auth, scopes = "client:1", {"sub": "a"}, frozenset()

    class snapshot:  # noqa: N801 - an attribute
        revision, stamp = 1, "stamp"


@contextmanager
def within_a_request():
    reset = caching.current_guard.set(Example())
    try:
        yield
    finally:
        caching.current_guard.reset(reset)


def test_django_still_names_cached_pages_as_the_function_expects():
    """If this fails, Django moved its prefix: ``caching.PAGES`` has to follow at once."""
    request = RequestFactory().get("/")
    seen = []

    def note(key, prefix, version):
        seen.append(key)
        return f"{prefix}:{version}:{key}"

    with override_settings(CACHES={"default": {"BACKEND": LOCMEM, "KEY_FUNCTION": note}}):
        seen.append(learn_cache_key(request, HttpResponse()))
        seen.append(get_cache_key(request))
        request._cache_update_cache = True
        UpdateCacheMiddleware(lambda _: HttpResponse())(request)
        FetchFromCacheMiddleware(lambda _: HttpResponse())(request)
    assert len(seen) > 5
    assert [key for key in seen if not key.startswith(caching.PAGES)] == []


def test_other_keys_are_those_of_django():
    with within_a_request():
        assert caching.make_key("views.other", "p", 1) == "p:1:views.other"
        assert caching.make_key(7, "p", 1) == "p:1:7"


def test_a_page_of_a_caller_has_another_key_than_that_of_a_request_without_credential():
    key = f"{caching.PAGES}cache_page.x"
    assert caching.make_key(key, "p", 1) == f"p:1:{key}"
    with within_a_request():
        assert caching.make_key(key, "p", 1).startswith(f"p:1:{key}.")


def reversed_key(key, prefix, version):
    return f"{key}:{version}:{prefix}"


@pytest.mark.parametrize(
    "own", [reversed_key, f"{__name__}.reversed_key"], ids=["a function", "its name"]
)
def test_a_function_of_the_project_is_wrapped(own):
    wrapped = caches_in(LOCMEM, OPTIONS={"KEY_FUNCTION": own}, KEY_PREFIX="shop")
    with override_settings(CACHES=wrapped):
        assert caches["default"].make_key("a") == "a:1:shop"
        page = f"{caching.PAGES}x"
        with within_a_request():
            assert caches["default"].make_key(page).startswith(f"{page}.")


def test_two_functions_need_two_prefixes():
    both = caches_in(LOCMEM, OPTIONS={"KEY_FUNCTION": reversed_key})
    both["other"] |= {"KEY_PREFIX": "", "OPTIONS": {}}
    with override_settings(CACHES=both), pytest.raises(ImproperlyConfigured, match="KEY_PREFIX"):
        caches["default"].make_key("a")
