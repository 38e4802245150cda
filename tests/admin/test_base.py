"""What all screens share: they render, obey permissions, and ask few questions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apiguard.admin import register
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    BlockedNetwork,
    Client,
    CorsPolicy,
    HeaderPolicy,
    HourlyCount,
    JwtIssuer,
    Limit,
    LimitOverride,
    PolicyChange,
    PolicyState,
    ResponseHeader,
    Route,
    Tier,
)

from .pages import confirmed, fill_in, url

SCREENS = (
    "route",
    "corspolicy",
    "allowedorigin",
    "headerpolicy",
    "tier",
    "client",
    "apikey",
    "jwtissuer",
)
ALL_SCREENS = (*SCREENS, "policychange")


@pytest.mark.parametrize("screen", ALL_SCREENS)
@pytest.mark.parametrize("query", ["", "?q=a", "?_facets=True"])
def test_every_list_renders(admin_client, policy, screen, query):
    assert admin_client.get(url(f"{screen}_changelist") + query).status_code == 200


@pytest.mark.parametrize("screen", ALL_SCREENS)
def test_an_empty_list_says_what_to_do(admin_client, screen):
    page = admin_client.get(url(f"{screen}_changelist"))
    assert 'class="apiguard-empty"' in page.content.decode()


@pytest.mark.parametrize("screen", SCREENS)
def test_every_form_renders(admin_client, policy, screen):
    assert admin_client.get(url(f"{screen}_add")).status_code == 200
    assert admin_client.get(url(f"{screen}_change", policy[screen].pk)).status_code == 200
    assert (
        admin_client.get(url(f"{screen}_history", policy[screen].pk), follow=True).status_code
        == 200
    )


@pytest.mark.parametrize("screen", SCREENS)
def test_sending_an_untouched_form_changes_nothing(admin_client, policy, screen):
    before = PolicyState.objects.get().revision
    response = fill_in(admin_client, url(f"{screen}_change", policy[screen].pk))
    assert response.status_code == 302
    assert PolicyState.objects.get().revision == before


@pytest.mark.parametrize("screen", SCREENS)
def test_who_may_only_look_sees_everything_and_changes_nothing(viewer, policy, screen):
    row = policy[screen]
    assert viewer.get(url(f"{screen}_changelist")).status_code == 200
    page = viewer.get(url(f"{screen}_change", row.pk))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert viewer.post(url(f"{screen}_change", row.pk), {"name": "x"}).status_code == 403
    assert viewer.get(url(f"{screen}_add")).status_code == 403
    assert viewer.post(url(f"{screen}_add"), {"name": "x"}).status_code == 403
    assert viewer.post(url(f"{screen}_delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("screen", [*ALL_SCREENS])
def test_staff_without_permissions_see_nothing(staff, policy, screen):
    nobody = staff()
    assert nobody.get(url(f"{screen}_changelist")).status_code == 403


def test_the_rows_that_nobody_edits_have_no_screen():
    site = AdminSite("other")
    register(site)
    assert not site.is_registered(PolicyState)
    assert not site.is_registered(HourlyCount)
    assert site.is_registered(PolicyChange)


def test_registering_twice_is_registering_once():
    site = AdminSite("other")
    register(site)
    register(site)
    named = [
        pattern
        for pattern in site.get_urls()
        if getattr(pattern, "name", "") == "apiguard_overview"
    ]
    assert len(named) == 1


def test_a_change_is_recorded_with_who_made_it(admin_client, admin_user, route):
    response = fill_in(admin_client, url("route_change", route.pk), name="renamed")
    assert response.status_code == 302
    change = PolicyChange.objects.first()
    assert (change.actor, change.action, change.after) == (
        admin_user,
        "changed",
        {"name": "renamed"},
    )
    assert change.actor_name == admin_user.get_username()


def test_a_deletion_is_recorded_row_by_row(admin_client, admin_user):
    rows = [
        JwtIssuer.objects.create(
            name=name, issuer=name, audiences=["a"], algorithms=["HS256"], secret_name="demo"
        )
        for name in ("one", "two")
    ]
    data = {
        "action": "delete_selected",
        "_selected_action": [row.pk for row in rows],
        "post": "yes",
    }
    address = url("jwtissuer_changelist")
    page = admin_client.post(address, data)
    assert confirmed(admin_client, address, data, page).status_code == 302
    deleted = PolicyChange.objects.filter(action="deleted")
    assert {(change.object_name, change.actor) for change in deleted} == {
        ("one", admin_user),
        ("two", admin_user),
    }


def test_a_row_that_a_route_needs_is_not_deleted(admin_client, route):
    page = admin_client.post(url("tier_delete", route.anonymous_tier_id), {"post": "yes"})
    assert "protected" in page.content.decode()
    assert Tier.objects.filter(pk=route.anonymous_tier_id).exists()


BROKEN = {
    "route": {"methods": ["get", 5], "required_scopes": "a", "accepts": 7, "path_prefix": "api//*"},
    "corspolicy": {"allowed_methods": {"a": 1}, "exposed_headers": "*", "max_age": 0},
    "allowedorigin": {"pattern": "null"},
    "client": {"allowed_networks": "everywhere"},
    "apikey": {"scopes": 5, "allowed_networks": [None]},
    "jwtissuer": {"audiences": [], "algorithms": ["none"], "secret_name": "nobody"},
}


@pytest.mark.parametrize("screen", BROKEN)
def test_no_page_falls_over_a_row_that_slipped_in_broken(admin_client, policy, screen):
    row = policy[screen]
    type(row).objects.filter(pk=row.pk).update(**BROKEN[screen])
    tier = policy["tier"]
    Limit.objects.filter(tier=tier).update(amount=10**10)
    ResponseHeader.objects.update(name="no name", value="a\nb")
    pages = [f"{name}_changelist" for name in ALL_SCREENS]
    assert [admin_client.get(url(page)).status_code for page in (*pages, "overview")] == [200] * 10
    for name, pk in ((screen, row.pk), ("tier", tier.pk), ("client", policy["client"].pk)):
        assert admin_client.get(url(f"{name}_change", pk)).status_code == 200
        assert fill_in(admin_client, url(f"{name}_change", pk)).status_code in (200, 302)


def make_rows(count: int) -> None:
    start = Route.objects.count()
    for number in range(start, start + count):
        cors = CorsPolicy.objects.create(name=f"cors {number}")
        AllowedOrigin.objects.create(policy=cors, pattern=f"https://a{number}.example.com")
        headers = HeaderPolicy.objects.create(name=f"headers {number}")
        ResponseHeader.objects.create(policy=headers, name="X-Frame-Options", value="DENY")
        tier = Tier.objects.create(slug=f"tier-{number}", name=f"Tier {number}")
        route = Route.objects.create(
            name=f"route {number}",
            path_prefix=f"/r{number}/",
            cors_policy=cors,
            header_policy=headers,
            anonymous_tier=tier,
            user_tier=tier,
        )
        Limit.objects.create(tier=tier, name="here", amount=60, period=60, route=route)
        owner = User.objects.create(username=f"user {number}")
        client = Client.objects.create(
            slug=f"client-{number}", name=f"Client {number}", tier=tier, owner=owner
        )
        ApiKey.objects.issue(client, "key")
        JwtIssuer.objects.create(
            name=f"issuer {number}",
            issuer=f"https://{number}.example",
            audiences=["api"],
            algorithms=["HS256"],
            secret_name="demo",
            tier=tier,
        )


@pytest.mark.parametrize("page", [*(f"{screen}_changelist" for screen in ALL_SCREENS), "overview"])
def test_five_rows_cost_no_more_queries_than_one(admin_client, page):
    make_rows(1)
    admin_client.get(url(page))
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert admin_client.get(url(page)).status_code == 200
    make_rows(4)
    admin_client.get(url(page))
    with CaptureQueriesContext(connection) as many:
        assert admin_client.get(url(page)).status_code == 200
    assert len(many) == len(few)


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 5000, "%00", "\u00b2", "9999-12-31T23:59Z"])
@pytest.mark.parametrize("screen", [*SCREENS, "blockednetwork"])
def test_a_form_opens_whatever_the_query_fills_in(admin_client, settings, screen, value):
    settings.TIME_ZONE = "Asia/Tokyo"
    model = apps.get_model("apiguard", screen)
    query = "&".join(f"{field.name}={value}" for field in model._meta.fields)
    assert admin_client.get(f"{url(f'{screen}_add')}?{query}").status_code == 200


def test_a_query_fills_in_a_date_and_a_row(admin_client, acme):
    page = admin_client.get(
        f"{url('apikey_add')}?client={acme.pk}&expires_at=2030-01-02T03:04:05Z"
    ).content.decode()
    assert "2030-01-02" in page
    assert f'value="{acme.pk}" selected' in page


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("at", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_rows_with_the_last_and_first_moments_of_the_calendar_are_shown(
    admin_client, settings, route, key, zone, at
):
    settings.TIME_ZONE = zone
    block = BlockedNetwork.objects.create(network="10.0.0.0/8", until=at, reason="x")
    limit = key.client.tier.limits.get()
    LimitOverride.objects.create(client=key.client, limit=limit, amount=5, until=at)
    ApiKey.objects.update(expires_at=at)
    pages = [
        *(url("blockednetwork_changelist"), url("blockednetwork_change", block.pk)),
        *(url("apikey_changelist"), url("apikey_change", key.pk)),
        *(url("client_change", key.client_id), url("overview")),
        *(url("policychange_change", change.pk) for change in PolicyChange.objects.all()),
    ]
    assert {admin_client.get(page).status_code for page in pages} == {200}


def test_a_form_refuses_a_time_that_not_every_time_zone_has(admin_client):
    address = url("blockednetwork_add")
    typed = {"network": "10.0.0.0/8", "reason": "x", "until_0": "9999-12-31", "until_1": "12:00"}
    assert "Write a year before 9999" in fill_in(admin_client, address, **typed).content.decode()
    assert not BlockedNetwork.objects.exists()
