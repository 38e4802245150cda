"""Which prefixes cover a URL pattern of the project, and what may be meant by one that does not."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.test import override_settings
from django.urls import clear_url_caches, include, path, re_path

from apiguard.models import Route
from apiguard.models.reach import covers_a_pattern, suggest_prefixes


def view(request):
    raise AssertionError


ORDERS = [path("", view), path("<int:pk>/", view)]
PLAIN = [
    path("api/orders/", include(ORDERS)),
    path("health", view),
    path("tenant/<slug:tenant>/files/", view),
    re_path(r"^v2/items/(?P<pk>[0-9]+)$", view),
    re_path(r"^exact$", view),
    re_path(r"^open", view),
    re_path(r"^slashes?/x$", view),
]
TRANSLATED = i18n_patterns(path("api/", include(ORDERS)), prefix_default_language=True)
DEFAULT_BARE = i18n_patterns(path("api/", include(ORDERS)), prefix_default_language=False)
CATCH_ALL = [re_path(r"^(?P<path>.*)$", view)]
ALTERNATIVES = [re_path(r"^api/|^v1/", view)]


@pytest.fixture
def urls():
    def use(patterns):
        module = ModuleType("urls_of_a_test")
        module.urlpatterns = patterns
        clear_url_caches()
        return override_settings(
            ROOT_URLCONF=module,
            LANGUAGE_CODE="en",
            LANGUAGES=[("en", "English"), ("de", "German")],
        )

    yield use
    clear_url_caches()


@pytest.mark.parametrize(
    ("patterns", "prefix", "covered"),
    [
        (PLAIN, "/", True),
        (PLAIN, "/api/", True),
        (PLAIN, "/api/orders/", True),
        (PLAIN, "/api/orders/5/", True),
        (PLAIN, "/api/other/", False),
        (PLAIN, "/shop/api/", False),
        (PLAIN, "/health/", True),
        (PLAIN, "/health/live/", False),
        (PLAIN, "/tenant/acme/files/", True),
        (PLAIN, "/v2/items/", True),
        (PLAIN, "/v2/other/", False),
        (PLAIN, "/exact/", True),
        (PLAIN, "/exact/more/", False),
        (PLAIN, "/open/more/", True),
        (PLAIN, "/slashe/x/", True),
        (PLAIN, "/static/", True),
        (TRANSLATED, "/api/", False),
        (TRANSLATED, "/en/api/", True),
        (TRANSLATED, "/de/api/", True),
        (TRANSLATED, "/fr/api/", False),
        (DEFAULT_BARE, "/api/", True),
        (DEFAULT_BARE, "/de/api/", True),
        (CATCH_ALL, "/api/", True),
        (ALTERNATIVES, "/v1/", True),
        ([], "/api/", False),
    ],
)
def test_a_prefix_covers_a_pattern(urls, patterns, prefix, covered):
    with urls(patterns):
        assert covers_a_pattern(prefix) is covered
        found = [oddity.code for oddity in Route(name="a", path_prefix=prefix).oddities()]
    assert found == ["covers_no_url"] * (not covered)


@pytest.mark.parametrize(
    ("patterns", "prefix", "meant"),
    [
        pytest.param(
            TRANSLATED, "/api/", ["/en/api/", "/de/api/"], id="the default language first"
        ),
        pytest.param(PLAIN, "/shop/api/", ["/api/"], id="a context path"),
        pytest.param(PLAIN, "/orders/", ["/api/orders/"], id="the path above"),
        pytest.param(PLAIN, "/nothing/", [], id="nothing near"),
    ],
)
def test_the_prefix_that_may_be_meant_is_suggested(urls, patterns, prefix, meant):
    with urls(patterns), override_settings(FORCE_SCRIPT_NAME="/shop"):
        assert suggest_prefixes(prefix) == meant


def test_a_urlconf_that_cannot_be_loaded_is_no_reason_to_warn():
    with override_settings(ROOT_URLCONF="no.such.module"):
        assert covers_a_pattern("/api/")
