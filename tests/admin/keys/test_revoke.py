"""Revoking: asked twice, with a reason, by POST alone, for good."""

from __future__ import annotations

import pytest

from apiguard.admin.keys import revoke
from apiguard.models import ApiKey, PolicyChange

from ..pages import url


@pytest.fixture
def address(key):
    return url("apikey_revoke", key.pk)


def test_looking_at_the_page_revokes_nothing_and_says_that_it_is_for_good(
    admin_client, key, address
):
    page = admin_client.get(address)
    assert "cannot be undone" in page.content.decode()
    assert ApiKey.objects.get().revoked_at is None


def test_the_form_of_a_key_leads_to_the_page(admin_client, key, address):
    assert address in admin_client.get(url("apikey_change", key.pk)).content.decode()


def test_a_reason_is_required(admin_client, key, address):
    page = admin_client.post(address, {"reason": "  "})
    assert page.context["form"].errors["reason"]
    assert ApiKey.objects.get().revoked_at is None


def test_revoking_keeps_who_and_why(admin_client, admin_user, key, address):
    response = admin_client.post(address, {"reason": "found in a log"})
    assert response.status_code == 302
    revoked = ApiKey.objects.get()
    assert revoked.revoked_at is not None
    assert (revoked.revoke_reason, revoked.revoked_by) == ("found in a log", admin_user)
    change = PolicyChange.objects.first()
    assert (change.actor, change.reason) == (admin_user, "found in a log")


def test_a_revoked_key_is_not_revoked_again(admin_client, admin_user, key, address):
    key.revoke("first", admin_user)
    page = admin_client.get(address)
    assert "nothing to revoke" in page.content.decode()
    admin_client.post(address, {"reason": "second"})
    assert ApiKey.objects.get().revoke_reason == "first"


def test_several_keys_are_revoked_from_the_list_after_a_page_that_asks(admin_client, acme, key):
    other = ApiKey.objects.issue(acme, "other")[0]
    kept = ApiKey.objects.issue(acme, "kept")[0]
    data = {"action": "revoke_selected", "_selected_action": [key.pk, other.pk]}
    page = admin_client.post(url("apikey_changelist"), data)
    assert "cannot be undone" in page.content.decode()
    assert not ApiKey.objects.exclude(revoked_at=None).exists()
    done = admin_client.post(url("apikey_changelist"), {**data, "post": "1", "reason": "moved"})
    assert done.status_code == 302
    assert ApiKey.objects.get(revoked_at=None) == kept


def test_the_list_too_wants_a_reason(admin_client, key):
    data = {"action": "revoke_selected", "_selected_action": [key.pk], "post": "1", "reason": ""}
    page = admin_client.post(url("apikey_changelist"), data)
    assert page.context["form"].errors["reason"]
    assert ApiKey.objects.get().revoked_at is None


def test_who_may_only_look_cannot_revoke(viewer, key, address):
    assert viewer.get(address).status_code == 403
    assert viewer.post(address, {"reason": "mischief"}).status_code == 403
    data = {"action": "revoke_selected", "_selected_action": [key.pk], "post": "1", "reason": "no"}
    viewer.post(url("apikey_changelist"), data)
    assert ApiKey.objects.get().revoked_at is None
    assert address not in viewer.get(url("apikey_change", key.pk)).content.decode()


def test_a_key_that_does_not_exist_is_not_found(admin_client, key):
    assert admin_client.get(url("apikey_revoke", key.pk + 1)).status_code == 404


def test_it_takes_the_permission_to_revoke_and_no_other(staff, key, address):
    browser = staff("view_apikey", "change_apikey", "add_apikey", "rotate_apikey")
    assert browser.post(address, {"reason": "mischief"}).status_code == 403
    assert address not in browser.get(url("apikey_change", key.pk)).content.decode()
    assert "revoke_selected" not in browser.get(url("apikey_changelist")).content.decode()


def test_the_permission_alone_is_enough(staff, key, address):
    assert staff("revoke_apikey").post(address, {"reason": "lost"})["Location"] == "/admin/"
    assert ApiKey.objects.get().revoke_reason == "lost"


def test_a_person_who_may_look_and_revoke_does_so_from_the_list(staff, key):
    browser = staff("view_apikey", "revoke_apikey")
    data = {"action": "revoke_selected", "_selected_action": [key.pk], "post": "1", "reason": "old"}
    browser.post(url("apikey_changelist"), data)
    assert ApiKey.objects.get().revoke_reason == "old"


def test_more_keys_than_the_most_at_once_are_not_revoked(admin_client, acme, monkeypatch):
    monkeypatch.setattr(revoke, "MOST_AT_ONCE", 2)
    for number in range(3):
        ApiKey.objects.issue(acme, f"k{number}")
    data = {"action": "revoke_selected", "_selected_action": [1], "select_across": "1"}
    page = admin_client.post(url("apikey_changelist"), data, follow=True)
    assert "at most 2 keys" in page.content.decode()
    assert ApiKey.objects.filter(revoked_at=None).count() == 3
