"""The overview: one page that says what is in force, wrong, and refused."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apiguard.models import (
    AllowedOrigin,
    HourlyCount,
    Limit,
    PolicyChange,
    PolicyState,
    Route,
)

from .desk import fields_of, url


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
    assert "broken: answers 503" in page.content.decode()


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


def test_who_may_only_look_is_not_offered_the_baseline(staff):
    browser = staff("view_route")
    assert "Write the baseline" not in page_of(browser).content.decode()
    assert browser.post(url("overview")).status_code == 403
    assert not Route.objects.exists()


def test_who_may_not_see_routes_does_not_see_it(staff):
    assert staff("view_client").get(url("overview")).status_code == 403


def test_a_problem_of_a_row_that_one_may_not_see_has_no_link(staff, cors):
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="https://*.github.io")])
    (shown,) = page_of(staff("view_route")).context["problems"]
    assert shown.url == ""


@pytest.mark.parametrize(
    "way", ["/admin/apiguard/", "/admin/apiguard/route/", "/admin/apiguard/apikey/"]
)
def test_every_list_leads_to_it(admin_client, policy, way):
    assert url("overview") in admin_client.get(way).content.decode()


def test_it_says_so_when_policy_cannot_be_read(admin_client, monkeypatch):
    from apiguard.admin import overview

    monkeypatch.setattr(overview, "in_force", lambda: None)
    assert "cannot be read" in page_of(admin_client).content.decode()


def test_it_has_no_inline_script_or_style(admin_client, policy):
    page = page_of(admin_client).content.decode()
    assert "<style" not in page
    assert " style=" not in page
