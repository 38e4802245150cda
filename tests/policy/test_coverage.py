"""Every URL pattern of a project, and the route that guards it."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.conf import settings as django_settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.test import override_settings
from django.urls import clear_url_caches, include, path, re_path
from ninja import NinjaAPI
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ViewSet

from apiguard.models import Route
from apiguard.policy.coverage import read_coverage

pytestmark = pytest.mark.django_db


def view(request):
    raise AssertionError


def pet(request, pk: int):
    raise AssertionError


class Orders(ViewSet):
    def list(self, request):
        raise AssertionError

    def retrieve(self, request, pk):
        raise AssertionError


@pytest.fixture
def urls():
    def use(*patterns, **more):
        module = ModuleType("urls_of_a_test")
        module.urlpatterns = list(patterns)
        clear_url_caches()
        languages = {"LANGUAGE_CODE": "en", "LANGUAGES": [("en", "English"), ("de", "German")]}
        return override_settings(ROOT_URLCONF=module, **languages, **more)

    yield use
    clear_url_caches()


@pytest.fixture(autouse=True)
def api(db):
    return Route.objects.create(name="api", path_prefix="/api/", mode="observe")


def shown():
    return {each.pattern.text: (each.state, each.route_name) for each in read_coverage().patterns}


GUARDED, OPEN = ("guarded", "api (observe)"), ("unguarded", "")


def test_patterns_of_includes_and_namespaces_are_named_as_reverse_names_them(urls):
    shop = ([path("orders/<int:pk>", view, name="order")], "shop")
    with urls(path("api/", include(shop, namespace="store")), path("pay", view)):
        found = {each.pattern.text: each for each in read_coverage().patterns}
        assert found["/api/orders/<int:pk>"].pattern.name == "store:order"
        assert found["/pay"].pattern.view == f"{__name__}.view"
        assert shown() == {"/api/orders/<int:pk>": GUARDED, "/pay": OPEN}
        assert next(each.pattern.text for each in read_coverage().patterns) == "/pay"


def test_patterns_of_drf_and_ninja_are_found(urls):
    router = DefaultRouter()
    router.register("orders", Orders, basename="orders")
    ninja = NinjaAPI(urls_namespace="coverage", docs_url=None)
    ninja.get("/pets/{pk}")(pet)
    with urls(path("api/", include(router.urls)), path("v2/", ninja.urls)):
        found = shown()
        views = {each.pattern.text: each.pattern.view for each in read_coverage().patterns}
    assert found["/api/orders/<pk>/"] == GUARDED
    assert found["/v2/pets/<pk>"] == OPEN
    assert views["/api/orders/"].endswith("Orders")


def test_a_regular_expression_without_an_end_is_guarded_in_part(urls):
    with urls(re_path(r"^api", view), re_path(r"^v2/(?P<pk>[0-9]+)$", view)):
        assert shown() == {"/api": ("partly", ""), "/v2/<pk>": OPEN}


def test_languages_with_one_answer_are_one_pattern(urls):
    Route.objects.create(name="german", path_prefix="/de/shop/")
    with urls(*i18n_patterns(path("shop/x", view), path("home", view))):
        found = {each.pattern.text: each for each in read_coverage().patterns}
    assert set(found) == {"/en/home", "/en/shop/x", "/de/shop/x"}
    assert found["/en/home"].translations == ("/de/home",)
    assert found["/de/shop/x"].route_name == "german (enforce)"


def test_a_language_that_is_never_chosen_is_left_out(urls):
    with urls(*i18n_patterns(path("home", view))), override_settings(LANGUAGE_CODE="en-us"):
        (found,) = read_coverage().patterns
    assert (found.pattern.text, found.translations) == ("/en/home", ("/de/home",))


def test_a_route_that_is_off_guards_nothing_and_is_named(urls, api):
    api.mode = "off"
    api.save()
    with urls(path("api/x", view)):
        assert shown() == {"/api/x": ("unguarded", "api (off)")}


def test_exempt_paths_are_no_gap(urls):
    given = {**django_settings.APIGUARD, "EXEMPT_PATHS": ["/health"]}
    with urls(path("health", view), path("api/x", view), APIGUARD=given):
        coverage = read_coverage()
        assert shown() == {"/health": ("exempt", ""), "/api/x": GUARDED}
    assert coverage.gaps == []


def test_patterns_of_an_admin_site_are_folded_and_come_last(urls):
    with urls(path("desk/", admin.site.urls), path("zoo", view)):
        zoo, desk = read_coverage().folded()
    assert zoo[0].pattern.text == "/zoo"
    assert len(desk) > 20
    assert {each.pattern.admin_site for each in desk} == {"/desk/"}


def test_without_a_urlconf_there_is_no_answer():
    with override_settings(ROOT_URLCONF="no.such.module"):
        assert read_coverage() is None
