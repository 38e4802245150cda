"""Deleting says what it does, and the history names every row that goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import Client, JwtIssuer, LimitOverride, PolicyChange, Route, Tier

from .pages import errors_of, fill_in, url


def texts(response):
    return [str(message) for message in response.wsgi_request._messages]


def deletions():
    found = PolicyChange.objects.filter(action="deleted")
    return sorted(found.values_list("model", "object_name"))


@pytest.fixture
def override(acme, tier):
    return LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=5)


@pytest.mark.parametrize("way", ["the page", "the action"])
@pytest.mark.parametrize(
    ("others", "effect"),
    [
        ({}, "Everything under /api/ becomes unguarded."),
        ({"mode": "off"}, "Everything under /api/ becomes unguarded."),
        ({"mode": "enforce"}, "The route “all” (/) will apply to everything under /api/."),
    ],
)
def test_deleting_a_route_says_what_applies_afterwards(admin_client, route, others, effect, way):
    if others:
        Route.objects.create(name="all", path_prefix="/", access="public", **others)
    if way == "the page":
        page = admin_client.get(url("route_delete", route.pk))
    else:
        chosen = {"action": "delete_selected", "_selected_action": [route.pk]}
        page = admin_client.post(url("route_changelist"), chosen)
    assert effect in page.content.decode()


def test_a_client_with_keys_says_how_to_stop_it(admin_client, acme, key):
    page = admin_client.get(url("client_delete", acme.pk)).content.decode()
    assert "untick “enabled”" in page
    assert Client.objects.filter(pk=acme.pk).exists()


def test_a_cascade_leaves_a_history_entry_for_every_row(admin_client, tier, override):
    pk = tier.limits.get().pk
    response = fill_in(admin_client, url("tier_change", tier.pk), **{"limits-0-DELETE": "on"})
    assert response.status_code == 302
    assert deletions() == [("apiguard.limit", "per-minute"), ("apiguard.limitoverride", "5")]
    gone = PolicyChange.objects.get(model="apiguard.limitoverride", action="deleted")
    assert (gone.before["limit_id"], gone.actor_name) == (pk, "admin")


def test_a_cascade_of_two_steps_is_recorded_too(tier, override):
    Client.objects.update(tier=Tier.objects.create(slug="other", name="Other"))
    tier.delete()
    assert [model for model, _name in deletions()] == [
        "apiguard.limit",
        "apiguard.limitoverride",
        "apiguard.tier",
    ]


# -- what can hardly be meant --------------------------------------------------------------


def test_a_tier_whose_last_limit_goes_is_warned_about(admin_client, tier):
    response = fill_in(admin_client, url("tier_change", tier.pk), **{"limits-0-DELETE": "on"})
    assert any("has no limits" in text for text in texts(response))
    assert "has no limits" in admin_client.get(url("overview")).content.decode()


def test_a_new_tier_without_limits_is_warned_about_once(admin_client):
    response = fill_in(admin_client, url("tier_add"), name="Empty", slug="empty")
    assert any("“Empty”: The tier has no limits" in text for text in texts(response))
    response = fill_in(admin_client, url("tier_add"), name="More", slug="more")
    assert not any("“Empty”" in text for text in texts(response))


def test_a_cost_above_an_amount_is_warned_about(admin_client, route):
    response = fill_in(admin_client, url("route_change", route.pk), cost=61)
    assert any("costs 61, and this limit admits 60" in text for text in texts(response))
    assert "costs 61" in admin_client.get(url("overview")).content.decode()


@pytest.mark.parametrize(("hours", "refused"), [(-1, True), (1, False)])
def test_an_override_that_has_ended_is_refused(admin_client, acme, override, hours, refused):
    until = timezone.now() + timedelta(hours=hours)
    typed = {
        "overrides-0-until_lasts": "until",
        "overrides-0-until_date": f"{until:%Y-%m-%d %H:%M:%S}",
    }
    response = fill_in(admin_client, url("client_change", acme.pk), **typed)
    assert (response.status_code == 200) is refused
    if refused:
        assert "This time has passed" in errors_of(response)


def test_a_key_that_would_have_ended_is_refused(admin_client, key):
    ended = timezone.now() - timedelta(hours=1)
    typed = {"expires_at_0": f"{ended:%Y-%m-%d}", "expires_at_1": f"{ended:%H:%M:%S}"}
    response = fill_in(admin_client, url("apikey_change", key.pk), **typed)
    assert "To end a key now, revoke it" in errors_of(response)


def test_the_page_of_one_row_asks_also_if_the_name_of_an_action_is_sent(admin_client, issuer):
    sent = {"post": "yes", "action": "delete_selected", "_selected_action": issuer.pk}
    response = admin_client.post(url("jwtissuer_delete", issuer.pk), sent)
    assert response.status_code == 200
    assert "I have read this" in response.content.decode()
    assert JwtIssuer.objects.exists()
