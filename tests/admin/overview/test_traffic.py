"""The numbers of the overview, and how many queries the page takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apiguard.admin.display import DASH
from apiguard.models import (
    ApiKey,
    Client,
    CounterFault,
    CounterOutage,
    HourlyCount,
    Limit,
    LimitOverride,
    Route,
    ShadowCount,
    UntrustedProxy,
    WebhookStatus,
)
from apiguard.models.usage import UsageKey, day_of, hour_of, usage_rows
from apiguard.request import limit_use
from apiguard.rules.limits import Counted
from apiguard.telemetry.buffer import buffer

from ..pages import url

SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WEBHOOKS = {
    name: {"url": f"https://{name}.example/hook", "secret": SIGNING}
    for name in ("good", "bad", "new")
}


def page_of(browser):
    response = browser.get(url("overview"))
    assert response.status_code == 200
    return response


def count(at, requests, *, client=0, outcome="admitted", route=1):
    key = UsageKey(route, client, 0, outcome, True)
    list(usage_rows().add(hour_of(at), False, {key: requests}))


def test_refusals_are_grouped_by_route_with_their_trend(admin_client, route):
    other = Route.objects.create(name="other", path_prefix="/other/", access="public")
    now = timezone.now()
    HourlyCount.objects.add(now, route.pk, "no_credential", False, 30)
    HourlyCount.objects.add(now - timedelta(days=1), route.pk, "no_credential", False, 20)
    HourlyCount.objects.add(now, other.pk, "limit_exceeded", True, 31)
    HourlyCount.objects.add(now, route.pk, "foreign_origin", False, 2)
    HourlyCount.objects.add(now - timedelta(days=1), other.pk, "scope_missing", True, 9)
    shown = page_of(admin_client).context["refusals"]
    assert [(row.route, row.reason, row.count, row.trend) for row in shown] == [
        ("api", "no credential", 30, "+50 % (20 the day before)"),
        ("api", "foreign origin", 2, "none the day before"),
        ("other", "limit exceeded", 31, "none the day before"),
    ]


def test_refusals_before_any_route_was_found_have_words_instead_of_a_name(admin_client, route):
    HourlyCount.objects.add(timezone.now(), 0, "address_blocked", True, 3)
    HourlyCount.objects.add(timezone.now(), route.pk + 1, "no_credential", True, 2)
    shown = page_of(admin_client).context["refusals"]
    assert [(row.route, row.url) for row in shown] == [
        ("without a route", ""),
        ("a route that is gone", ""),
    ]


def test_webhooks_are_listed_with_how_their_deliveries_went(admin_client, route, settings):
    assert "apiguard-webhooks" not in page_of(admin_client).content.decode()
    settings.APIGUARD = settings.APIGUARD | {"WEBHOOKS": WEBHOOKS}
    now = timezone.now()
    report = {"dropped": 0, "delivered_at": None, "failed_at": None, "error": ""}
    add = WebhookStatus.objects.add
    add("good", **report | {"delivered": 1200, "failed": 0, "delivered_at": now})
    add("bad", **report | {"delivered": 0, "failed": 3, "failed_at": now, "error": "status 500"})
    add("gone", **report | {"delivered": 1, "failed": 0})
    page = page_of(admin_client)
    shown = [
        (one.name, one.host, one.status.is_failing, one.numbers, one.error)
        for one in page.context["webhooks"]
    ]
    assert shown == [
        ("good", "good.example", False, "1,200 / 0 / 0", DASH),
        ("bad", "bad.example", True, "0 / 3 / 0", "status 500"),
        ("new", "new.example", False, "0 / 0 / 0", DASH),
    ]
    text = page.content.decode()
    assert [word in text for word in (">fails<", ">delivers<", ">no event yet<")] == [True] * 3
    assert SIGNING not in text


def test_webhooks_without_an_event_for_a_month_are_forgotten(db):
    now = timezone.now()
    month = timedelta(days=31)
    for name, delivered, failed in [
        ("old", now - month, now - month),
        ("delivers", now, now - month),
        ("fails", None, now),
    ]:
        WebhookStatus.objects.create(name=name, delivered_at=delivered, failed_at=failed)
    buffer.refused(0, "no_credential", True)
    buffer.flush()
    assert sorted(WebhookStatus.objects.values_list("name", flat=True)) == ["delivers", "fails"]


def test_requests_per_hour_are_drawn_and_written(admin_client, route):
    now = timezone.now()
    assert page_of(admin_client).context["hours"] == []
    count(now, 40)
    count(now - timedelta(hours=2), 1_000)
    count(now - timedelta(hours=30), 9_000)
    count(now, 77, outcome="lost")
    page = page_of(admin_client)
    hours = page.context["hours"]
    assert [hour.requests for hour in hours if hour.requests != "0"] == ["1,000", "40"]
    assert [hour.height for hour in hours if hour.height] == [60, 3]
    assert "<rect" in page.content.decode()


def test_shadow_limits_name_whom_they_would_have_refused(admin_client, route, acme, tier):
    shadow = Limit.objects.create(tier=tier, name="new", amount=5, period=60, mode="shadow")
    ShadowCount.objects.add(timezone.now(), shadow.pk, f"client:{acme.pk}", 7)
    ShadowCount.objects.add(timezone.now(), shadow.pk, "ip:192.0.2.1", 3)
    (row,) = page_of(admin_client).context["people"].shadows
    assert (row.count, row.who) == ("10", "Acme: 7; address 192.0.2.1: 3")
    assert row.url == url("tier_change", tier.pk)


def test_busy_clients_stand_by_what_they_have_used(admin_client, route, acme, tier, monkeypatch):
    idle = Client.objects.create(slug="idle", name="Idle", tier=tier)
    LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=500, reason="x")
    count(timezone.now(), 40, client=acme.pk)
    count(timezone.now(), 4, client=idle.pk)
    used = {f"client:{acme.pk}": 450, f"client:{idle.pk}": 1}

    def read_use(settings, principal, limits):
        return {one.pk: Counted(one, True, used[principal], 0, None) for one in limits}

    monkeypatch.setattr(limit_use, "read_use", read_use)
    shown = page_of(admin_client).context["people"].closest
    assert [(row.name, row.limit, row.used) for row in shown] == [
        ("Acme", "per-minute", "450 of 500"),
        ("Idle", "per-minute", "1 of 60"),
    ]


def test_keys_that_end_soon_are_named(admin_client, route, acme):
    now = timezone.now()
    for days, name in ((3, "soon"), (30, "later"), (-1, "ended")):
        ApiKey.objects.issue(acme, name, [], expires_at=now + timedelta(days=days))
    (row,) = page_of(admin_client).context["expiring"]
    assert (row.name, row.client) == ("soon", "Acme")


@pytest.mark.parametrize(
    ("codenames", "shown"),
    [
        (["view_route"], set()),
        (["view_route", "view_usage"], {"hours"}),
        (["view_route", "view_usage", "view_client"], {"hours", "closest"}),
        (["view_route", "view_apikey"], {"expiring"}),
        (["view_route", "view_tier"], {"shadows"}),
    ],
)
def test_the_overview_shows_no_more_than_the_pages_of_its_rows(
    staff, route, acme, tier, codenames, shown
):
    limit = Limit.objects.create(tier=tier, name="new", amount=5, period=60, mode="shadow")
    ShadowCount.objects.add(timezone.now(), limit.pk, "ip:192.0.2.1", 3)
    ApiKey.objects.issue(acme, "soon", expires_at=timezone.now() + timedelta(days=3))
    count(timezone.now(), 40, client=acme.pk)
    page = page_of(staff(*codenames))
    people = page.context["people"]
    parts = {
        "hours": page.context["hours"],
        "expiring": page.context["expiring"],
        "closest": people.closest,
        "shadows": people.shadows,
    }
    assert {name for name, rows in parts.items() if rows} == shown
    text = page.content.decode()
    assert ("192.0.2.1" in text) is ("shadows" in shown)
    assert ("Acme" in text) is bool({"closest", "expiring"} & shown)


@pytest.fixture
def many_rows(route, acme, tier):
    """Some hundreds of each row; the number of queries must not depend on it."""
    now = timezone.now()
    Client.objects.bulk_create([Client(slug=f"c{n}", name=f"C{n}", tier=tier) for n in range(300)])
    Route.objects.bulk_create(
        [Route(name=f"r{n}", path_prefix=f"/api/{n}/", cost=100) for n in range(30)]
    )
    shadows = [
        Limit.objects.create(tier=tier, name=f"s{n}", amount=5, period=60, mode="shadow")
        for n in range(10)
    ]
    pks = list(Client.objects.values_list("pk", flat=True))
    for pk in pks[:60]:
        count(now, 5, client=pk)
        ShadowCount.objects.add(now, shadows[pk % 10].pk, f"client:{pk}", 7)
    for n in range(90):
        key = {UsageKey(1, pk, 0, "admitted", True): 5 for pk in pks[:5]}
        list(usage_rows().add(day_of(now - timedelta(days=n + 8)), True, key))
        ApiKey.objects.issue(acme, f"k{n}", [], expires_at=now + timedelta(days=5))
    CounterOutage.objects.note("web-1:42", True, now)
    CounterFault.objects.add("pool", "exhausted", 12, now)
    UntrustedProxy.objects.seen("10.0.0.7", now)


@pytest.mark.parametrize(("webhooks", "most"), [({}, 12), (WEBHOOKS, 13)], ids=["none", "some"])
@pytest.mark.usefixtures("many_rows")
def test_twelve_queries_are_enough_and_one_for_webhooks_whatever_the_number_of_rows(
    admin_client, settings, webhooks, most
):
    settings.APIGUARD = settings.APIGUARD | {"WEBHOOKS": webhooks}
    page_of(admin_client)  # Reads policy.
    with CaptureQueriesContext(
        connection,
    ) as captured:
        page = page_of(admin_client)
    statements = [query["sql"] for query in captured.captured_queries]
    assert len(statements) <= most, "\n".join(statements)
    assert len(page.context["people"].shadows) == 10
    assert page.context["counter"].faults[0].count == 12
    assert len(page.context["warnings"]) == 31
