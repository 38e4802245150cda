"""Rates of DRF, django-ratelimit and django-smart-ratelimit become limits in shadow mode.

Old and new run side by side: the packages go on refusing, the limits only count.
"""

from __future__ import annotations

import io
import json

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import override_settings
from django_smart_ratelimit.models import RateLimitRule, UserTier
from rest_framework.settings import api_settings
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

from apiguard.models import Limit, PolicyChange, Route, Tier
from apiguard.testing import reset_counters
from tests.request.site import Call, guarded

pytestmark = pytest.mark.django_db

DEFAULTS = (AnonRateThrottle, UserRateThrottle)
SMART = "django_smart_ratelimit.middleware.RateLimitMiddleware"
PREFIXES = (
    *("/api/", "/api/exports/", "/api/orders/busy/", "/sign-in/", "/search/", "/report/"),
    *("/upload/", "/smart/", "/smart/skipped/"),
)


@pytest.fixture(autouse=True)
def project(monkeypatch):
    rates = {"anon": "30/min", "user": "1000/day", "exports": "4/hour", "forgotten": "1/s"}
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_CLASSES", DEFAULTS, raising=False)
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", rates, raising=False)
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", rates)
    with override_settings(ROOT_URLCONF="tests.neighbours.rated"):
        yield
    cache.clear()


def make_routes(*prefixes, **fields):
    for prefix in prefixes:
        name = prefix.strip("/").replace("/", " ")
        Route.objects.create(name=name, path_prefix=prefix, access="application", **fields)


def run(*arguments):
    out = io.StringIO()
    try:
        call_command("apiguard", "import-throttle-rates", "--json", *arguments, stdout=out)
    except CommandError as error:
        return json.loads(out.getvalue()), error.returncode
    return json.loads(out.getvalue()), 0


def limits(tier):
    return {
        (limit.rate, None if limit.route is None else limit.route.path_prefix)
        for limit in Limit.objects.filter(tier__slug=tier).select_related("route")
    }


def test_each_rate_becomes_a_limit_of_those_whom_it_counts_where_it_counts_them():
    make_routes(*PREFIXES)
    run()
    assert limits("imported-anonymous") == {
        ("30 per minute", None),
        ("1,000 per day", None),
        ("4 per hour", "/api/exports/"),
        ("60 per minute", "/api/orders/busy/"),
        ("10 per 5 minutes", "/sign-in/"),
        ("20 per minute", "/search/"),
    }
    assert limits("imported-users") == {
        ("1,000 per day", None),
        ("4 per hour", "/api/exports/"),
        ("60 per minute", "/api/orders/busy/"),
        ("20 per minute", "/search/"),
        ("7 per hour", "/report/"),
        ("30 per minute", "/smart/"),
    }
    assert set(Limit.objects.values_list("mode", flat=True)) == {"shadow"}


def test_the_name_of_a_limit_tells_the_rate_the_route_and_the_period():
    make_routes(*PREFIXES)
    run()
    names = set(
        Limit.objects.filter(tier__slug="imported-anonymous").values_list("name", flat=True)
    )
    assert names == {
        "anon-per-minute",
        "user-per-day",
        "exports-api-exports-per-hour",
        "burst-api-orders-busy-per-minute",
        "ok-sign-in-per-5-minutes",
        "search-per-minute",
    }


def test_what_no_limit_can_say_is_refused_with_the_reason():
    make_routes(*PREFIXES)
    result, status = run()
    assert status == 1
    said = "\n".join(result["refused"])
    for line in (
        "DRF: ByTenant decides by code of its own",
        "DRF: Dice decides by code of its own",
        "DRF: Chosen (/api/chosen) chooses its throttles by code (get_throttles)",
        "django-ratelimit: tests.neighbours.rated.ok counts by 'header:x-tenant', and no limit",
        "django-ratelimit: tests.neighbours.rated.ok has no fixed rate (by_plan)",
        "django-ratelimit: tests.neighbours.rated.Upload (/upload/): it counts POST alone",
        "django-smart-ratelimit: tests.neighbours.rated.ok decides by skip_if",
    ):
        assert line in said
    assert len(result["refused"]) == 7


def test_what_a_limit_counts_otherwise_is_noticed():
    make_routes(*PREFIXES)
    said = "\n".join(run()[0]["notices"])
    assert "tests.neighbours.rated.ok: it counts signed-in users by address, too" in said
    assert "search: it refuses nothing by itself: leave its limit in shadow" in said
    assert "DEFAULT_THROTTLE_RATES['forgotten'] (1/s) is used by no view" in said
    assert "AnonRateThrottle is the default, but not of /api/by-code, /api/chosen" in said


def test_views_without_a_route_of_their_own_are_named_with_the_route_to_make():
    make_routes("/api/")
    said = "\n".join(run()[0]["refused"])
    hint = "there is no route for just these requests; make a route for"
    assert f"DRF: ScopedRateThrottle, scope 'exports' (/api/exports): {hint} /api/exports/ " in said
    assert f"(/sign-in/): {hint} /sign-in/ and import again" in said
    assert limits("imported-users") == {("1,000 per day", None)}


def test_a_method_is_carried_over_where_the_route_permits_no_other():
    make_routes("/upload/", methods=["POST"])
    run()
    assert ("3 per minute", "/upload/") in limits("imported-anonymous")


def test_a_dry_run_makes_nothing_and_a_second_run_nothing_twice():
    make_routes(*PREFIXES)
    planned, _ = run("--dry-run")
    assert (Tier.objects.count(), Limit.objects.count()) == (0, 0)
    made, _ = run()
    assert made["created"] == planned["created"]
    Limit.objects.filter(period=86400).update(amount=7)
    again, _ = run()
    assert again["created"] == []
    assert len(again["there_already"]) == Limit.objects.count() == 12
    assert any(line.endswith(": 7 per day") for line in again["there_already"])


def test_a_tier_of_another_name_is_one_revision_of_the_history():
    make_routes("/api/")
    before = set(PolicyChange.objects.values_list("revision", flat=True))
    run("--tier", "old-rates")
    assert {tier.slug for tier in Tier.objects.all()} == {"old-rates-anonymous", "old-rates-users"}
    made = PolicyChange.objects.exclude(revision__in=before)
    assert len({change.revision for change in made}) == 1
    assert {change.reason for change in made} == {"Imported from rates of other packages."}


def test_a_name_that_no_tier_can_have_is_refused():
    with pytest.raises(CommandError, match="Nothing was imported: slug") as caught:
        call_command("apiguard", "import-throttle-rates", "--tier", "old rates")
    assert caught.value.returncode == 2


def test_an_imported_limit_enforced_refuses_when_the_package_does():
    make_routes("/sign-in/")
    run()
    tier = Tier.objects.get(slug="imported-anonymous")

    def statuses(mode):
        cache.clear()
        reset_counters()
        Limit.objects.update(mode=mode)
        Route.objects.update(anonymous_tier=tier)
        with (
            guarded(*Route.objects.all(), tier, *tier.limits.all()),
            override_settings(ROOT_URLCONF="tests.neighbours.rated"),
        ):
            return [Call(path="/sign-in/").wsgi().status_code for _ in range(12)]

    # The package refuses with 403, the limit with 429 and before the view.
    assert statuses("shadow") == [200] * 10 + [403] * 2
    assert statuses("enforce") == [200] * 10 + [429] * 2


def with_smart(**middleware):
    return override_settings(
        MIDDLEWARE=[SMART],
        RATELIMIT_MIDDLEWARE=middleware,
        RATELIMIT_USE_DYNAMIC_RULES=True,
        RATELIMIT_USE_USER_TIERS=True,
    )


def test_the_rates_of_smart_ratelimits_middleware():
    make_routes("/api/")
    with with_smart(DEFAULT_RATE="90/m", RATE_LIMITS={"/api/": "80/30s", "/x/": "1/m"}):
        result, _ = run()
    assert {("90 per minute", None), ("80 per 30 seconds", "/api/")} <= limits("imported-anonymous")
    assert "RATE_LIMITS['/x/']: there is no route" in "\n".join(result["refused"])


def test_its_rules_and_the_rates_of_its_user_tiers():
    make_routes("/api/", "/reports/")
    one = {"rate": "10/m", "key": "user"}
    RateLimitRule.objects.create(name="Reports", path_pattern="^/reports/", **one)
    RateLimitRule.objects.create(name="Off", path_pattern="^/api/", is_active=False, **one)
    RateLimitRule.objects.create(name="Any", path_pattern=r"^/\d+/", **one)
    RateLimitRule.objects.create(name="Post", path_pattern="^/api/", method="POST", **one)
    RateLimitRule.objects.create(name="Geo", path_pattern="^/api/", rate="1/m", key="geo:country")
    UserTier.objects.create(name="Premium", rate_multiplier=2.5)
    UserTier.objects.create(name="Partner", explicit_limits={"Reports": "900/h"})
    with with_smart():
        said = "\n".join(run()[0]["refused"])
    assert ("10 per minute", "/reports/") in limits("imported-users")
    assert limits("imported-premium") == {("25 per minute", "/reports/"), ("2 per minute", "/api/")}
    assert limits("imported-partner") == {("900 per hour", "/reports/"), ("1 per minute", "/api/")}
    assert r"rule 'Any' has the pattern ^/\d+/, which is no prefix" in said
    assert "rule 'Post': it counts POST alone" in said
    assert "rule 'Geo' counts by 'geo:country', and no limit does" in said


def test_a_middleware_that_counts_by_code_is_refused():
    with with_smart(KEY_FUNCTION="shop.keys.tenant", DENY_LIST=["192.0.2.0/24"]):
        said = "\n".join(run()[0]["refused"])
    assert "RATELIMIT_MIDDLEWARE counts by shop.keys.tenant" in said
    assert "DENY_LIST. Block networks with: manage.py apiguard block" in said
