"""Undo takes two screens: the history, and what it does, with one button."""

from __future__ import annotations

import pytest

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    BlockedNetwork,
    Client,
    LimitOverride,
    PolicyChange,
    PolicyState,
    Route,
    acting,
)

from .pages import fields_of, url


def last():
    return PolicyChange.objects.order_by("pk").last()


def undo_page(change, **query):
    wanted = query or {"change": change.pk}
    return f"{url('policychange_undo')}?" + "&".join(f"{k}={v}" for k, v in wanted.items())


def confirm(browser, address, **typed):
    """Open the page, tick its box if there is one, and send it."""
    page = browser.get(address)
    assert page.status_code == 200
    data = fields_of(page.content.decode())
    confirmation = page.context["confirmation"]
    if confirmation is not None and confirmation.texts:
        data[confirmation.name] = confirmation.digest
    return browser.post(address, {**data, **typed})


def test_an_edit_is_undone_in_two_screens(admin_client, route):
    Route.objects.update(cost=7)
    change = last()
    listed = admin_client.get(url("policychange_changelist")).content.decode()
    address = undo_page(change)
    assert address.replace("&", "&amp;") in listed
    response = confirm(admin_client, address, change_reason="a mistake")
    assert response.status_code == 302
    assert Route.objects.get().cost == 1
    assert (last().actor_name, last().reason, last().after) == ("admin", "a mistake", {"cost": 1})


def test_the_page_shows_the_difference_and_changes_nothing(admin_client, route):
    Route.objects.update(cost=7)
    before = PolicyState.objects.get().revision
    page = admin_client.get(undo_page(last())).content.decode()
    assert "Change back: route “api”" in page
    assert "<pre>7</pre></td><td><pre>1</pre>" in page
    assert (Route.objects.get().cost, PolicyState.objects.get().revision) == (7, before)


def test_what_it_opens_is_reported_and_waits_for_a_tick(admin_client, route):
    route.mode = "enforce"
    route.save()
    AllowedOrigin.objects.all().delete()
    address = undo_page(last())
    page = admin_client.get(address)
    assert "https://app.example.com" in page.context["confirmation"].texts[0]
    data = fields_of(page.content.decode())
    refused = admin_client.post(address, data)
    assert "tick the box" in refused.content.decode()
    assert not AllowedOrigin.objects.exists()
    assert confirm(admin_client, address).status_code == 302
    assert AllowedOrigin.objects.exists()


def test_what_it_opens_to_one_caller_is_reported_too(admin_client, acme, key, tier):
    limit = tier.limits.get()
    override = LimitOverride.objects.create(client=acme, limit=limit, amount=500)
    override.delete()
    texts = {}
    texts["override"] = admin_client.get(undo_page(last())).context["confirmation"].texts
    acme.enabled = False
    acme.save()
    texts["client"] = admin_client.get(undo_page(last())).context["confirmation"].texts
    key.scopes = []
    key.save()
    texts["key"] = admin_client.get(undo_page(last())).context["confirmation"].texts
    assert texts == {
        "override": ["“Acme” may use 500 per minute instead of 60 per minute (per-minute)."],
        "client": ["The keys of “Acme” are accepted."],
        "key": [f"The key “laptop” ({key.key_id}) may use orders:read."],
    }


def test_a_deleted_tier_comes_back_with_its_limits(admin_client, tier):
    pks = sorted(tier.limits.values_list("pk", flat=True))
    tier.delete()
    change = PolicyChange.objects.get(model="apiguard.tier", action="deleted")
    assert confirm(admin_client, undo_page(change)).status_code == 302
    assert sorted(type(tier).objects.get().limits.values_list("pk", flat=True)) == pks


def test_a_later_edit_is_named_and_there_is_no_button(admin_client, route):
    Route.objects.update(cost=7)
    change = last()
    with acting(name="bob"):
        Route.objects.update(cost=8)
    page = admin_client.get(undo_page(change))
    assert "by bob" in page.content.decode()
    assert "expect" not in fields_of(page.content.decode())
    assert admin_client.post(undo_page(change), {"expect": last().revision}).status_code == 200
    assert Route.objects.get().cost == 8


def test_back_to_how_it_was(admin_client, route):
    start = PolicyState.objects.get().revision
    Route.objects.update(cost=7)
    Route.objects.update(cost=8, name="orders")
    response = confirm(admin_client, undo_page(None, to=start))
    assert response.status_code == 302
    row = Route.objects.get()
    assert (row.cost, row.name) == (1, "api")


def test_of_policy_that_moved_meanwhile_the_page_is_shown_anew(admin_client, route):
    Route.objects.update(cost=7)
    address = undo_page(last())
    data = fields_of(admin_client.get(address).content.decode())
    Client.objects.create(slug="b", name="B")
    page = admin_client.post(address, data)
    assert "Policy was changed meanwhile" in page.content.decode()
    assert Route.objects.get().cost == 7


def test_the_history_button_opens_the_changes_of_that_row(admin_client, route, tier):
    Route.objects.create(name="other", path_prefix="/other/")
    response = admin_client.get(url("route_history", route.pk), follow=True)
    found = list(response.context["cl"].result_list)
    assert {(change.model, change.object_pk) for change in found} == {
        ("apiguard.route", str(route.pk))
    }


# -- who may ------------------------------------------------------------------------


def test_who_may_not_undo_is_offered_nothing(viewer, route):
    assert "undo …" not in viewer.get(url("policychange_changelist")).content.decode()
    assert viewer.get(undo_page(last())).status_code == 403
    assert viewer.post(undo_page(last())).status_code == 403


def test_undo_takes_the_permission_on_the_row_too(staff, route):
    Route.objects.update(cost=7)
    browser = staff("undo_change", "view_policychange", "view_route")
    page = browser.get(undo_page(last())).content.decode()
    assert "You lack the permission change_route." in page
    browser.post(undo_page(last()), {"expect": last().revision})
    assert Route.objects.get().cost == 7


def test_rows_that_a_person_may_not_view_are_not_shown(staff, route):
    Route.objects.update(cost=7)
    browser = staff("undo_change", "view_policychange")
    assert browser.get(undo_page(None, revision=last().revision)).status_code == 403
    assert browser.get(undo_page(last())).status_code == 404


def test_to_give_scopes_back_takes_the_right_to_grant_them(staff, key):
    key.scopes = []
    key.save()
    browser = staff("undo_change", "view_policychange", "change_apikey", "view_client")
    assert "may not grant scopes" in browser.get(undo_page(last())).content.decode()
    browser.post(undo_page(last()), {"expect": last().revision})
    assert ApiKey.objects.get().scopes == []


def test_to_let_a_client_act_as_its_owner_again_takes_that_right(staff, acme, admin_user):
    acme.owner, acme.acts_as_owner = admin_user, True
    acme.save()
    acme.acts_as_owner = False
    acme.save()
    browser = staff("undo_change", "view_policychange", "change_client", "impersonate")
    page = browser.get(undo_page(last())).content.decode()
    assert "impersonate" in page
    browser.post(undo_page(last()), {"expect": last().revision})
    acme.refresh_from_db()
    assert not acme.acts_as_owner


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([{"user_field": "username"}, {"user_field": ""}], id="users are mapped"),
        pytest.param(
            [{"user_field": "username", "audiences": ["old"]}, {"audiences": ["api"]}],
            id="what a mapped issuer accepts",
        ),
    ],
)
def test_what_only_superusers_may_do_to_a_disabled_issuer_no_undo_does(staff, issuer, changes):
    for change in [{"enabled": False}, *changes]:
        for name, value in change.items():
            setattr(issuer, name, value)
        issuer.save()
    before = list(type(issuer).objects.values())
    browser = staff("undo_change", "view_policychange", "change_jwtissuer", "impersonate")
    page = browser.get(undo_page(last())).content.decode()
    assert "nly a superuser may" in page
    browser.post(undo_page(last()), {"expect": last().revision})
    assert list(type(issuer).objects.values()) == before


def test_an_issuer_that_was_enabled_is_switched_off_again_by_anybody(staff, issuer):
    issuer.user_field, issuer.enabled = "username", False
    issuer.save()
    issuer.enabled = True
    issuer.save()
    browser = staff("undo_change", "view_policychange", "change_jwtissuer")
    assert confirm(browser, undo_page(last())).status_code == 302
    assert not type(issuer).objects.get().enabled


def test_nobody_brings_a_block_of_their_own_address_back(admin_client):
    row = BlockedNetwork.objects.create(network="127.0.0.1", reason="x")
    row.delete()
    page = admin_client.get(undo_page(last()))
    assert "block your own address" in page.content.decode()
    admin_client.post(undo_page(last()), {"expect": last().revision})
    assert not BlockedNetwork.objects.exists()


@pytest.mark.parametrize(
    "query", ["", "?change=x", "?change=99999", "?revision=-1", "?to=1e5", f"?change={'9' * 40}"]
)
def test_an_address_that_names_nothing_is_not_found(admin_client, query):
    assert admin_client.get(url("policychange_undo") + query).status_code == 404
