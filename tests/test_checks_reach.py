"""Checks of what apiguard does not reach: prefixes without a URL, WebSockets, admin sites."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import pytest
from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.contrib.admin import site as default_site
from django.core import checks as django_checks
from django.test import override_settings
from django.urls import include, path

from apiguard import checks
from apiguard.admin import register
from apiguard.models import Route


def ids(messages):
    return [message.id for message in messages]


@pytest.mark.django_db
def test_a_route_that_covers_no_url_pattern_is_warned_of():
    Route.objects.create(name="covered", path_prefix="/api/", access="public")
    Route.objects.create(name="lost", path_prefix="/shop/api/", access="public")
    Route.objects.create(name="off", path_prefix="/shop/off/", access="public", mode="off")
    (message,) = checks.check_policy(databases=["default"])
    assert message.id == "apiguard.W021"
    assert "'lost'" in message.msg
    assert "/api/" in message.hint
    assert checks.check_policy(databases=[]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"INSTALLED_APPS": (*django_settings.INSTALLED_APPS, "channels")},
        {"CHANNEL_LAYERS": {}},
    ],
    ids=["the app", "its setting"],
)
def test_channels_is_warned_of(changes, monkeypatch):
    assert checks.check_websockets() == []
    # The package itself need not be there for its name to stand in the settings.
    for name, value in changes.items():
        monkeypatch.setattr(django_settings, name, value, raising=False)
    assert ids(checks.check_websockets()) == ["apiguard.W022"]


def urlconf(*patterns):
    module = ModuleType("urls_of_a_test")
    module.urlpatterns = list(patterns)
    return module


def own_site(*, registered):
    site = AdminSite("own")
    if registered:
        register(site)
    return site


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        pytest.param(lambda: [path("admin/", default_site.urls)], "", id="the default site"),
        pytest.param(
            lambda: [path("x/", include([path("desk/", own_site(registered=True).urls)]))],
            "",
            id="an own site with the pages",
        ),
        pytest.param(
            lambda: [path("desk/", own_site(registered=False).urls)],
            "register(your_site)",
            id="an own site without",
        ),
        pytest.param(list, "client create", id="no site"),
    ],
)
def test_an_admin_without_the_pages_is_warned_of(patterns, expected):
    with override_settings(ROOT_URLCONF=urlconf(*patterns())):
        found = checks.check_admin()
    assert ids(found) == ["apiguard.W023"] * bool(expected)
    assert all(expected in message.hint for message in found)


def test_who_does_not_want_the_pages_is_not_warned():
    with override_settings(
        ROOT_URLCONF=urlconf(), APIGUARD={**django_settings.APIGUARD, "ADMIN": False}
    ):
        assert checks.check_admin() == []


@pytest.mark.django_db
def test_a_project_that_wants_no_gap_registers_the_check_of_coverage(monkeypatch):
    before = django_checks.registry.registry.deployment_checks
    monkeypatch.setattr(
        django_checks.registry.registry, "deployment_checks", before - {checks.check_coverage}
    )
    run = partial(
        django_checks.run_checks,
        tags=["database"],
        databases=["default"],
        include_deployment_checks=True,
    )
    Route.objects.create(name="api", path_prefix="/api/", access="public")
    assert "apiguard.E004" not in ids(run())
    django_checks.register(checks.check_coverage, "database", deploy=True)
    (message,) = [each for each in run() if each.id == "apiguard.E004"]
    assert "/health, /admin/, " in message.msg
    assert " more." in message.msg
    Route.objects.create(name="all", path_prefix="/", access="public")
    assert "apiguard.E004" not in ids(run())
    assert checks.check_coverage() == []
