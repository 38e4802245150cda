"""Every form and confirmation asks why, and an edit with its inline rows is one revision."""

from __future__ import annotations

import pytest

from apiguard.models import ApiKey, BlockedNetwork, PolicyChange, Route

from .pages import errors_of, fields_of, fill_in, url


def last():
    return PolicyChange.objects.order_by("pk").last()


def test_the_reason_of_an_edit_stands_in_the_history(admin_client, route):
    address = url("route_change", route.pk)
    fill_in(admin_client, address, cost="3", change_reason="dearer since May")
    assert (last().after, last().reason) == ({"cost": 3}, "dearer since May")


def test_a_reason_with_a_character_that_databases_refuse_is_kept_without_it(admin_client, route):
    fill_in(admin_client, url("route_change", route.pk), cost="3", change_reason="dear\x00er")
    assert (last().after, last().reason) == ({"cost": 3}, "dearer")


def test_the_reason_of_a_deletion_stands_in_the_history(admin_client, issuer):
    address = url("jwtissuer_delete", issuer.pk)
    page = admin_client.get(address)
    assert "change_reason" in fields_of(page.content.decode())
    confirmation = page.context["confirmation"]
    ticked = {confirmation.name: confirmation.digest} if confirmation else {}
    admin_client.post(address, {"post": "yes", "change_reason": "merged", **ticked})
    assert (last().action, last().reason) == ("deleted", "merged")


def test_a_key_is_changed_for_a_reason_only(admin_client, key):
    address = url("apikey_change", key.pk)
    refused = fill_in(admin_client, address, name="desktop", change_reason=" ")
    assert "Write the reason of this change" in errors_of(refused)
    assert ApiKey.objects.get().name == "laptop"
    assert fill_in(admin_client, address, name="desktop", change_reason="moved").status_code == 302
    assert last().reason == "moved"


def test_what_was_typed_is_kept_when_the_form_is_shown_again(admin_client, route):
    shown = fill_in(admin_client, url("route_change", route.pk), cost="0", change_reason="why not")
    assert fields_of(shown.content.decode())["change_reason"] == "why not"


def test_a_row_with_its_own_reason_field_has_no_second_one(admin_client):
    address = url("blockednetwork_add")
    assert "change_reason" not in fields_of(admin_client.get(address).content.decode())
    fill_in(admin_client, address, network="192.0.2.7", reason="a flood")
    assert (BlockedNetwork.objects.get().reason, last().reason) == ("a flood", "a flood")


@pytest.mark.parametrize("kind", ["route", "tier", "corspolicy", "client", "apikey", "jwtissuer"])
def test_a_person_who_may_only_view_gets_no_reason_field(viewer, policy, kind):
    page = viewer.get(url(f"{kind}_change", policy[kind].pk)).content.decode()
    assert "change_reason" not in page


def test_a_form_with_inline_rows_is_one_revision(admin_client, tier):
    Route.objects.create(name="other", path_prefix="/other/")
    before = last().pk
    typed = {"name": "Gratis", "limits-0-rate": "70 per minute"}
    fill_in(admin_client, url("tier_change", tier.pk), **typed)
    made = PolicyChange.objects.filter(pk__gt=before)
    assert sorted(made.values_list("model", flat=True)) == ["apiguard.limit", "apiguard.tier"]
    assert made.values("revision").distinct().count() == 1
