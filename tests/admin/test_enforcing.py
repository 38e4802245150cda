"""A route or a limit is tried, and enforced with the numbers of the trial as the reason."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.admin import enforcing
from apiguard.models import (
    HourlyCount,
    Limit,
    ObservedHeader,
    PolicyChange,
    Refusal,
    Route,
    ShadowCount,
)

from .pages import fields_of, url


def refused(route, **more):
    values = {
        "at": timezone.now(),
        "request_id": "r",
        "method": "GET",
        "path": "/api/orders",
        "status": 401,
        "enforced": False,
        "outcome": "no_credential",
        "reason": "no credential",
        "route_pk": route.pk,
        "principal": "ip:192.0.2.1",
        "is_identified": False,
        "address": "192.0.2.1",
        "revision": 1,
    }
    return Refusal.objects.create(**values | more)


@pytest.fixture
def tried(route):
    now = timezone.now()
    HourlyCount.objects.add(now, route.pk, "no_credential", False, 30)
    HourlyCount.objects.add(now, route.pk, "foreign_origin", False, 5)
    HourlyCount.objects.add(now, route.pk, "limit_exceeded", True, 900)
    refused(route)
    refused(route, origin="https://x.example", address="192.0.2.7")
    refused(route, client_slug="acme", path="/api/export")
    refused(route, enforced=True, address="198.51.100.9")
    return route


def send(browser, address, **more):
    page = browser.get(address).content.decode()
    return browser.post(address, {**fields_of(page), **more})


def test_the_form_of_a_route_says_what_it_would_have_refused(admin_client, tried):
    page = admin_client.get(url("route_change", tried.pk))
    trial = page.context["trial"]
    assert trial.count == 35
    assert dict(trial.top) == {"Reasons": [("no credential", 30), ("foreign origin", 5)]}
    assert dict(trial.requests) == {
        "Clients": [("acme", 1)],
        "Addresses": [("192.0.2.1", 2), ("192.0.2.7", 1)],
        "Paths": [("/api/orders", 2), ("/api/export", 1)],
        "Origins": [("https://x.example", 1)],
    }
    text = page.content.decode()
    assert "35 requests would have been refused since" in text
    assert url("route_enforce", tried.pk) in text
    assert "198.51.100.9" not in text


def test_a_trial_begins_when_the_mode_was_chosen(admin_client, tried):
    HourlyCount.objects.update(hour=timezone.now() - timedelta(days=2))
    assert admin_client.get(url("route_change", tried.pk)).context["trial"].count == 0


def test_the_headers_that_would_be_different_are_named_with_one_request(admin_client, tried):
    at = timezone.now()
    seen = {"value": "DENY", "example": "GET /api/orders", "revision": tried.revision}
    ObservedHeader.objects.seen(tried.pk, "X-Frame-Options", "added", at, **seen)
    ObservedHeader.objects.seen(tried.pk, "X-Powered-By", "removed", at, **{**seen, "value": ""})
    # By policy as it was before the route was changed.
    ObservedHeader.objects.seen(tried.pk, "X-Old", "added", at, **{**seen, "revision": 0})
    for address in (url("route_change", tried.pk), url("route_enforce", tried.pk)):
        page = admin_client.get(address)
        assert page.context["trial"].headers == (
            "X-Frame-Options: DENY would be added, as in the response to GET /api/orders",
            "X-Powered-By would be removed, as in the response to GET /api/orders",
        )
        assert "2 response headers would be different" in page.content.decode()


def test_enforcing_repeats_the_numbers_and_keeps_them_in_the_history(admin_client, tried):
    address = url("route_enforce", tried.pk)
    assert "35 requests would have been refused" in admin_client.get(address).content.decode()
    assert Route.objects.get().mode == "observe"
    answer = send(admin_client, address)
    if answer.status_code == 200:  # What the edit closes waits for a tick.
        confirmation = answer.context["confirmation"]
        assert Route.objects.get().mode == "observe"
        answer = admin_client.post(address, {confirmation.name: confirmation.digest})
    assert answer.status_code == 302
    assert Route.objects.get().mode == "enforce"
    change = PolicyChange.objects.first()
    assert "35 requests would have been refused." in change.reason
    # The history is kept for good, and ``apiguard forget`` erases nobody from it.
    assert "192.0.2.1" not in change.reason
    assert "Paths" not in change.reason
    assert change.actor_name == "admin"


def test_who_may_only_view_routes_may_not_enforce(viewer, tried):
    address = url("route_enforce", tried.pk)
    assert viewer.get(address).status_code == 403
    assert viewer.post(address).status_code == 403
    page = viewer.get(url("route_change", tried.pk)).content.decode()
    assert address not in page
    assert Route.objects.get().mode == "observe"


def test_addresses_and_paths_take_the_permission_to_view_refused_requests(staff, tried):
    seen = {"value": "DENY", "example": "GET /api/orders/7", "revision": tried.revision}
    ObservedHeader.objects.seen(tried.pk, "X-Frame-Options", "added", timezone.now(), **seen)
    browser = staff("view_route", "change_route")
    for address in (url("route_change", tried.pk), url("route_enforce", tried.pk)):
        page = browser.get(address).content.decode()
        assert "35 requests would have been refused" in page
        assert "no credential (30)" in page
        assert "192.0.2.1" not in page
        assert "/api/orders (2)" not in page
        assert "X-Frame-Options: DENY would be added" in page
        assert "/api/orders/7" not in page


@pytest.fixture
def meanwhile(monkeypatch):
    """``meanwhile(edit)``: another person's edit is saved just before the lock is taken."""

    def happens(edit):
        begin = enforcing.begin_edit

        def begin_edit(request):
            edit()
            begin(request)

        monkeypatch.setattr(enforcing, "begin_edit", begin_edit)

    return happens


def enforce(browser, address):
    answer = send(browser, address)
    confirmation = answer.context and answer.context["confirmation"]
    if confirmation:
        answer = browser.post(address, {confirmation.name: confirmation.digest})
    return answer


def test_enforcing_keeps_what_somebody_else_saved_meanwhile(admin_client, tried, meanwhile):
    meanwhile(lambda: Route.objects.update(required_scopes=["orders:write"]))
    assert enforce(admin_client, url("route_enforce", tried.pk)).status_code == 302
    stored = Route.objects.get()
    assert (stored.mode, stored.required_scopes) == ("enforce", ["orders:write"])


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        pytest.param(lambda: Route.objects.update(mode="off"), ["off"], id="switched off"),
        pytest.param(lambda: Route.objects.all().delete(), [], id="deleted"),
    ],
)
def test_what_is_not_on_trial_any_more_is_not_enforced(admin_client, tried, meanwhile, edit, left):
    meanwhile(edit)
    answer = send(admin_client, url("route_enforce", tried.pk))
    assert "Somebody changed it meanwhile" in answer.content.decode()
    assert list(Route.objects.values_list("mode", flat=True)) == left


def test_a_route_that_is_enforced_already_is_left_alone(admin_client, tried):
    Route.objects.update(mode="enforce")
    before = PolicyChange.objects.count()
    assert admin_client.post(url("route_enforce", tried.pk)).status_code == 302
    assert PolicyChange.objects.count() == before


def test_a_shadow_limit_is_enforced_with_its_numbers(admin_client, route, acme, tier):
    limit = Limit.objects.create(tier=tier, name="new", amount=5, period=60, mode="shadow")
    ShadowCount.objects.add(timezone.now(), limit.pk, f"client:{acme.pk}", 7)
    address = url("tier_enforce", tier.pk, limit.pk)
    assert address in admin_client.get(url("tier_change", tier.pk)).content.decode()
    answer = send(admin_client, address)
    if answer.status_code == 200:
        confirmation = answer.context["confirmation"]
        answer = admin_client.post(address, {confirmation.name: confirmation.digest})
    assert answer.status_code == 302
    limit.refresh_from_db()
    assert limit.mode == "enforce"
    assert PolicyChange.objects.first().reason.endswith("7 requests would have been refused.")


def test_enforcing_a_limit_takes_the_permission_to_change_limits(staff, route, tier):
    limit = Limit.objects.create(tier=tier, name="new", amount=5, period=60, mode="shadow")
    browser = staff("view_tier", "change_tier")
    assert browser.post(url("tier_enforce", tier.pk, limit.pk)).status_code == 403
