"""The overview: one page that says what is in force, wrong, and refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from apiguard.admin import base
from apiguard.admin.overview import counter
from apiguard.admin.overview import page as overview_page
from apiguard.admin.overview.page import BASELINE_ROWS, PROBLEMS_SHOWN
from apiguard.models import (
    AllowedOrigin,
    CounterFault,
    CounterOutage,
    HourlyCount,
    Limit,
    PolicyChange,
    PolicyState,
    Route,
    UntrustedProxy,
)
from apiguard.transfer.baseline import write_baseline
from tests.servers import free_port

from ..pages import fields_of, url

LOCAL = "django.core.cache.backends.locmem.LocMemCache"
NEVER_LOOKS = {"POLICY_MAX_AGE": None}


def page_of(browser):
    response = browser.get(url("overview"))
    assert response.status_code == 200
    return response


def test_it_says_which_revision_is_in_force(admin_client, route):
    page = page_of(admin_client)
    assert page.context["snapshot"].revision == PolicyState.objects.get().revision


def test_it_lists_what_is_enforced_where(admin_client, route):
    page = page_of(admin_client).content.decode()
    for words in ("/api/", "observe", "browsers", "secure", "anonymous: 60 per minute"):
        assert words in page


def test_it_names_routes_that_guard_nothing_and_channels(admin_client, route, settings):
    lost = Route.objects.create(name="lost", path_prefix="/shop/api/", access="public")
    page = page_of(admin_client)
    (warning,) = page.context["warnings"]
    assert (warning.problem.error.code, warning.url) == (
        "covers_no_url",
        url("route_change", lost.pk),
    )
    assert "Channels" not in page.content.decode()
    settings.CHANNEL_LAYERS = {}
    assert "Channels is installed" in page_of(admin_client).content.decode()


def test_it_lists_every_problem_with_the_way_to_its_row(admin_client, route, cors, tier):
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="https://*.github.io")])
    Limit.objects.filter(tier=tier).update(amount=10**10)
    page = page_of(admin_client)
    origin = AllowedOrigin.objects.get(pattern="https://*.github.io")
    ways = {shown.problem.model: shown.url for shown in page.context["problems"]}
    assert ways == {
        "allowedorigin": url("allowedorigin_change", origin.pk),
        "limit": url("tier_change", tier.pk),
    }
    observed = "broken: not judged; would answer 503 if it were enforced"
    assert observed in page.content.decode()
    assert "answers 503" not in page.content.decode()
    Route.objects.update(mode="enforce")
    page = page_of(admin_client)
    assert "broken: answers 503" in page.content.decode()
    assert observed not in page.content.decode()


def test_it_lists_no_more_problems_than_a_browser_enjoys(admin_client, cors):
    wrong = [AllowedOrigin(policy=cors, pattern=f"no-origin-{n}") for n in range(PROBLEMS_SHOWN)]
    AllowedOrigin.objects.bulk_create(wrong)
    page = page_of(admin_client)
    assert len(page.context["problems"]) == PROBLEMS_SHOWN
    assert "not listed here" not in page.content.decode()
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="one-more")])
    page = page_of(admin_client)
    assert len(page.context["problems"]) == PROBLEMS_SHOWN
    assert "1 more is not listed here" in page.content.decode()
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="another")])
    assert "2 more are not listed here" in page_of(admin_client).content.decode()


def test_it_counts_refusals_by_route_and_reason(admin_client, route):
    now = timezone.now()
    HourlyCount.objects.add(now, route.pk, "foreign_origin", False, 3)
    HourlyCount.objects.add(now, route.pk, "limit_exceeded", True, 5)
    HourlyCount.objects.add(now, route.pk + 99, "limit_exceeded", True, 1)
    shown = page_of(admin_client).context["refusals"]
    assert [(row.route, row.reason, row.enforced, row.count) for row in shown] == [
        ("api", "limit exceeded", True, 5),
        ("api", "foreign origin", False, 3),
        ("a route that is gone", "limit exceeded", True, 1),
    ]


def test_it_offers_the_baseline_while_there_are_no_routes(admin_client, admin_user):
    page = page_of(admin_client)
    assert "nothing is guarded" in page.content.decode()
    response = admin_client.post(url("overview"), fields_of(page.content.decode()), follow=True)
    assert response.status_code == 200
    (route,) = Route.objects.all()
    assert (route.path_prefix, route.mode) == ("/api/", "observe")
    assert {change.actor for change in PolicyChange.objects.all()} == {admin_user}
    assert "Write the baseline" not in response.content.decode()


def test_it_writes_no_baseline_beside_a_route(admin_client, db):
    Route.objects.create(name="mine", path_prefix="/mine/")
    admin_client.post(url("overview"))
    assert Route.objects.count() == 1


ADDED = [f"add_{model._meta.model_name}" for model in BASELINE_ROWS]


def test_all_rows_of_the_baseline_are_known(db):
    write_baseline()
    written = {change.model for change in PolicyChange.objects.all()}
    assert written == {model._meta.label_lower for model in BASELINE_ROWS}


def test_who_may_add_all_its_rows_may_write_the_baseline(staff):
    browser = staff("view_route", *ADDED)
    browser.post(url("overview"), fields_of(page_of(browser).content.decode()))
    assert Route.objects.exists()


@pytest.mark.parametrize("permissions", [[], *([p for p in ADDED if p != one] for one in ADDED)])
def test_who_may_not_add_all_its_rows_is_not_offered_the_baseline(staff, permissions):
    browser = staff("view_route", *permissions)
    assert "Write the baseline" not in page_of(browser).content.decode()
    assert browser.post(url("overview")).status_code == 403
    assert not Route.objects.exists()


def test_who_may_not_see_routes_does_not_see_it(staff):
    assert staff("view_client").get(url("overview")).status_code == 403


def test_who_may_not_see_it_finds_no_link_to_it(staff):
    assert url("overview") not in staff("view_client").get("/admin/").content.decode()


def test_a_problem_of_a_row_that_one_may_not_see_has_no_link(staff, cors):
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="https://*.github.io")])
    (shown,) = page_of(staff("view_route")).context["problems"]
    assert shown.url == ""


@pytest.mark.parametrize(
    "way", ["/admin/", "/admin/apiguard/", "/admin/apiguard/route/", "/admin/apiguard/apikey/"]
)
def test_every_list_leads_to_it(admin_client, policy, way):
    assert url("overview") in admin_client.get(way).content.decode()


def test_it_says_so_when_policy_cannot_be_read(admin_client, monkeypatch):
    for module in (overview_page, base):
        monkeypatch.setattr(module, "current_snapshot", lambda: None)
    assert "cannot be read" in page_of(admin_client).content.decode()


def test_it_has_no_inline_script_or_style(admin_client, policy):
    page = page_of(admin_client).content.decode()
    assert "<style" not in page
    assert " style=" not in page


IN_REDIS = {"default": {"BACKEND": LOCAL}, "apiguard": {"BACKEND": "x", "LOCATION": "redis://h/1"}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"COUNTER": "memory"}, "in the memory of each process", id="memory"),
        pytest.param({}, "in Redis, through the cache “apiguard”", id="Redis"),
        pytest.param(
            {"COUNTER": "redis+cluster://:secret@h:7000"}, "in the Redis cluster at h:7000", id="cl"
        ),
    ],
)
def test_it_says_where_limits_are_counted_and_no_password(admin_client, route, given, said):
    with override_settings(CACHES=IN_REDIS, APIGUARD={**NEVER_LOOKS, **given}):
        page = page_of(admin_client).content.decode()
    assert said in page
    assert "secret@" not in page
    assert ("N processes admit" in page) is (given == {"COUNTER": "memory"})


def test_it_lists_outages_of_the_counter_the_open_ones_first(admin_client, route):
    now = timezone.now()
    CounterOutage.objects.note("web-2:43", True, now - timedelta(minutes=30))
    CounterOutage.objects.note("web-2:43", False, now - timedelta(minutes=20))
    CounterOutage.objects.note("web-3:44", True, now - timedelta(minutes=40))
    CounterOutage.objects.note("web-1:42", True, now - timedelta(minutes=1))
    page = page_of(admin_client)
    seen = page.context["counter"].outages
    assert [(row.process, row.lasts) for row in seen] == [
        ("web-1:42", True),
        ("web-2:43", False),
        ("web-3:44", False),
    ]
    for row in seen:
        assert row.when in page.content.decode()


def test_it_lists_faults_of_the_counter_under_their_own_names(admin_client, route):
    now = timezone.now()
    CounterFault.objects.add("pool", "connection pool exhausted", 12, now)
    CounterFault.objects.add("defect", "KeyError in <b>.py:1", 3, now)
    CounterFault.objects.add("defect", "of another day", 3, now - timedelta(days=2))
    page = page_of(admin_client)
    assert [fault.count for fault in page.context["counter"].faults] == [3, 12]
    text = page.content.decode()
    assert "KeyError in &lt;b&gt;.py:1" in text
    assert "max_connections" in text


def test_times_of_another_day_name_the_day(db):
    now = datetime(2026, 1, 2, 0, 30, tzinfo=UTC)
    CounterOutage.objects.note("web:1", True, now - timedelta(hours=2))
    CounterOutage.objects.still("web:1", now)
    (row,) = CounterOutage.objects.open(now)
    assert counter._lasting(row, now).when == "away since 1 Jan, 22:30:00 UTC"
    CounterOutage.objects.note("web:1", False, now)
    (row,) = CounterOutage.objects.ended_since(now - timedelta(days=1), now)
    assert counter._ended(row, now).when == "away from 1 Jan, 22:30:00 UTC to 00:30:00 UTC"


def test_it_names_untrusted_proxies_and_what_to_do(admin_client, route):
    UntrustedProxy.objects.seen("10.0.0.7", timezone.now())
    page = page_of(admin_client).content.decode()
    assert "10.0.0.7" in page
    assert "TRUSTED_PROXIES" in page


def test_it_is_shown_whatever_the_counter_is(admin_client, route):
    away = f"redis+cluster://127.0.0.1:{free_port()}"
    with override_settings(APIGUARD={**NEVER_LOOKS, "COUNTER": away}):
        assert page_of(admin_client).status_code == 200


def test_it_names_the_command_that_looks_through_clients_and_keys(admin_client, route):
    assert "manage.py apiguard check" in page_of(admin_client).content.decode()


@pytest.mark.parametrize(
    ("access", "counted"),
    [
        pytest.param("application", True, id="application"),
        pytest.param("credentials", False, id="credentials"),
        pytest.param("public", False, id="public"),
    ],
)
def test_users_are_counted_on_application_routes_only(admin_client, route, tier, access, counted):
    Route.objects.update(access=access, user_tier=tier)
    page = page_of(admin_client).content.decode()
    assert ("users: 60 per minute" in page) is counted
    assert "anonymous: 60 per minute" in page
