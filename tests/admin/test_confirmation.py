"""What an edit opens, closes or removes is shown, and saved after one tick."""

from __future__ import annotations

import pytest

from apiguard.models import AllowedOrigin, Client, Limit, LimitOverride, Route, Tier

from .pages import confirmed, fields_of, fill_in, url

BOX = "_confirm_effects"


def enforced(**fields):
    row = {"name": "api", "path_prefix": "/api/", "mode": "enforce", "access": "public"}
    return Route.objects.create(**{**row, **fields})


def text_of(response):
    return response.content.decode()


def messages_of(response):
    return [str(message) for message in response.wsgi_request._messages]


def test_a_newly_admitted_origin_is_shown_and_then_saved(admin_client, cors):
    enforced(cors_policy=cors)
    typed = {"policy": cors.pk, "pattern": "https://x.example.com"}
    shown = fill_in(admin_client, url("allowedorigin_add"), confirm=False, **typed)
    assert "Newly admits https://x.example.com on /api/." in text_of(shown)
    assert "Please correct" not in text_of(shown)
    assert not AllowedOrigin.objects.filter(pattern=typed["pattern"]).exists()
    fields = fields_of(text_of(shown))
    assert fields["pattern"] == typed["pattern"]
    saved = confirmed(admin_client, url("allowedorigin_add"), fields, shown)
    assert saved.status_code == 302
    assert AllowedOrigin.objects.filter(pattern=typed["pattern"]).exists()


def test_an_origin_that_a_family_admits_already_is_saved_at_once(admin_client, cors):
    AllowedOrigin.objects.create(policy=cors, pattern="https://*.example.com")
    enforced(cors_policy=cors)
    typed = {"policy": cors.pk, "pattern": "https://x.example.com"}
    saved = fill_in(admin_client, url("allowedorigin_add"), confirm=False, **typed)
    assert saved.status_code == 302


def test_a_tick_confirms_what_was_shown_and_nothing_else(admin_client, cors):
    enforced(cors_policy=cors)
    address, typed = url("allowedorigin_add"), {"policy": cors.pk, "enabled": "on"}
    shown = fill_in(admin_client, address, confirm=False, pattern="https://x.example", **typed)
    digest = shown.context["confirmation"].digest
    other = {**fields_of(text_of(shown)), "pattern": "https://y.example", BOX: digest}
    again = admin_client.post(address, other)
    assert "Newly admits https://y.example on /api/." in text_of(again)
    assert again.context["confirmation"].digest != digest


def test_the_button_that_was_pressed_is_offered_beside_the_facts(admin_client, cors):
    enforced(cors_policy=cors)
    typed = {"policy": cors.pk, "pattern": "https://x.example", "_continue": "1"}
    shown = fill_in(admin_client, url("allowedorigin_add"), confirm=False, **typed)
    assert 'class="button default" name="_continue"' in text_of(shown)


def test_an_inline_row_that_goes_says_who_becomes_unlimited(admin_client, tier, acme):
    Client.objects.bulk_create(
        Client(slug=f"c{number}", name="c", tier=tier) for number in range(999)
    )
    LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=5)
    edit = {"limits-0-DELETE": "on"}
    shown = fill_in(admin_client, url("tier_change", tier.pk), confirm=False, **edit)
    assert "1,000 clients become unlimited (tier “Free”)." in text_of(shown)
    assert "1 override of the limit “per-minute” disappears." in text_of(shown)
    assert Limit.objects.exists()
    saved = fill_in(admin_client, url("tier_change", tier.pk), **edit)
    assert saved.status_code == 302
    assert not Limit.objects.exists()


def test_a_cost_that_no_limit_admits_is_shown(admin_client, tier):
    route = enforced(anonymous_tier=tier)
    shown = fill_in(admin_client, url("route_change", route.pk), confirm=False, cost=100)
    assert "costs 100, and this limit admits 60: every request" in text_of(shown)


def test_a_path_that_leaves_a_route_says_what_it_loses(admin_client, cors, tier):
    enforced(cors_policy=cors, anonymous_tier=tier)
    typed = {"name": "orders", "path_prefix": "/api/orders", "mode": "enforce"}
    shown = fill_in(admin_client, url("route_add"), confirm=False, access="public", **typed)
    expected = "/api/orders/ leaves the route “api” for “orders”: no CORS policy, no limit."
    assert expected in text_of(shown)


def test_what_observes_opens_nothing(admin_client, route):
    saved = fill_in(admin_client, url("route_change", route.pk), confirm=False, methods="")
    assert saved.status_code == 302


def test_a_lowered_limit_is_reported_and_waits_for_nothing(admin_client, tier, acme):
    edit = {"limits-0-rate": "30 per minute"}
    saved = fill_in(admin_client, url("tier_change", tier.pk), confirm=False, **edit)
    assert saved.status_code == 302
    expected = (
        "Tier “Free” (1 client): the limit “per-minute” changes from 60 per minute to 30 per "
        "minute."
    )
    assert expected in messages_of(saved)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"scopes": "orders:read\norders:write"}, "may use orders:write."),
        ({"allowed_networks": "192.0.2.0/24"}, ""),
        ({"name": "desktop"}, ""),
    ],
)
def test_a_key_that_may_do_more_is_reported_and_waits_for_a_tick(
    admin_client, key, typed, sentence
):
    shown = fill_in(
        admin_client, url("apikey_change", key.pk), confirm=False, change_reason="asked", **typed
    )
    assert shown.status_code == (200 if sentence else 302)
    if sentence:
        assert f"The key “laptop” ({key.key_id}) {sentence}" in text_of(shown)
        key.refresh_from_db()
        assert key.scopes == ["orders:read"]
        address = url("apikey_change", key.pk)
        assert fill_in(admin_client, address, change_reason="asked", **typed).status_code == 302


def test_one_box_confirms_openings_and_a_lock_out(admin_client):
    typed = {"name": "all", "path_prefix": "/", "mode": "enforce", "access": "credentials"}
    shown = fill_in(admin_client, url("route_add"), confirm=False, **typed)
    page = text_of(shown)
    assert page.count('type="checkbox" name="_confirm_effects"') == 1
    assert "I may lock myself out of /admin/" in page
    assert "Views under / will see users without a row" in page
    assert fill_in(admin_client, url("route_add"), **typed).status_code == 302


@pytest.mark.parametrize("way", ["the page", "the action"])
def test_a_deletion_shows_what_it_does_and_needs_the_tick(admin_client, way):
    row = enforced(access="credentials")
    expected = "Everything under /api/ becomes unguarded: no credential."
    if way == "the page":
        address, sent = url("route_delete", row.pk), {"post": "yes"}
        page = admin_client.get(address)
    else:
        address = url("route_changelist")
        sent = {"action": "delete_selected", "_selected_action": [row.pk]}
        page = admin_client.post(address, sent)
        sent["post"] = "yes"
    assert expected in text_of(page)
    digest = page.context["confirmation"].digest
    refused = admin_client.post(address, sent)
    assert expected in text_of(refused)
    assert Route.objects.exists()
    assert admin_client.post(address, {**sent, BOX: digest}).status_code == 302
    assert not Route.objects.exists()


def test_deleting_what_guards_nothing_needs_no_tick(admin_client):
    row = Tier.objects.create(slug="unused", name="Unused")
    page = admin_client.get(url("tier_delete", row.pk))
    assert BOX not in text_of(page)
    assert admin_client.post(url("tier_delete", row.pk), {"post": "yes"}).status_code == 302
