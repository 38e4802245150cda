"""Rotating: asked why, one successor, shown once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client as Browser
from django.test import override_settings
from django.utils import timezone

from apiguard import conf
from apiguard.models import ApiKey, Client, PolicyChange
from apiguard.rules.keys import matches, pattern
from tests.request.site import settings_of

from ..pages import fields_of, fill_in, url

TEXT = re.compile(pattern("ag"))
PLANNED = {"how": "planned", "grace": "3600", "reason": "yearly"}
LEAKED = {"how": "leaked", "reason": "found in a log"}


@pytest.fixture
def address(key):
    return url("apikey_rotate", key.pk)


def text_in(response) -> str:
    (text,) = set(TEXT.findall(response.content.decode()))
    return text


def said(response) -> str:
    return str(response.context["form"].errors)


def test_looking_at_the_page_rotates_nothing_and_nothing_is_chosen(admin_client, key, address):
    page = admin_client.get(address)
    assert not re.search(r'type="radio"[^>]* checked', page.content.decode())
    assert '<option value="604800" selected>7 days' in page.content.decode()
    assert ApiKey.objects.get().rotated_at is None


def test_the_form_of_a_key_leads_to_the_page(admin_client, key, address):
    assert address in admin_client.get(url("apikey_change", key.pk)).content.decode()


def test_a_planned_rotation_shows_the_successor_once_and_lets_the_old_key_go_on(
    admin_client, admin_user, key, address
):
    before = timezone.now()
    response = fill_in(admin_client, address, **PLANNED)
    new = ApiKey.objects.exclude(pk=key.pk).get()
    old = ApiKey.objects.get(pk=key.pk)
    text = text_in(response)
    assert matches(text, conf.current().key_peppers[new.pepper_id], new.digest)
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "same-origin"
    assert "works until" in response.content.decode()
    assert before + timedelta(hours=1) <= old.expires_at <= timezone.now() + timedelta(hours=1)
    change = PolicyChange.objects.first()
    assert (change.actor, change.reason) == (admin_user, "yearly")
    assert LogEntry.objects.count() == 2
    for page in (url("apikey_change", new.pk), url("apikey_change", key.pk), address):
        shown = admin_client.get(page).content.decode()
        assert text.rpartition("_")[2] not in shown
    assert f"ag_live_{new.key_id}_…" in shown


def test_a_leaked_key_ends_now_whatever_grace_the_form_says(admin_client, admin_user, key, address):
    response = fill_in(admin_client, address, **LEAKED)
    old = ApiKey.objects.get(pk=key.pk)
    assert "is revoked" in response.content.decode()
    assert (old.revoke_reason, old.revoked_by) == ("found in a log", admin_user)
    assert text_in(response)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        pytest.param({"reason": "x"}, "how", id="neither leaked nor planned"),
        pytest.param({**PLANNED, "grace": "5"}, "grace", id="another grace"),
        pytest.param({**PLANNED, "reason": "  "}, "reason", id="no reason"),
    ],
)
def test_what_is_missing_is_reported_at_its_field(admin_client, key, address, typed, field):
    response = fill_in(admin_client, address, **typed)
    assert field in response.context["form"].errors
    assert ApiKey.objects.count() == 1
    mended = {**fields_of(response.content.decode()), **PLANNED}
    assert text_in(admin_client.post(address, mended))


@pytest.mark.parametrize("typed", [PLANNED, LEAKED], ids=["planned", "leaked"])
def test_a_reload_makes_no_second_key(admin_client, key, address, typed):
    data = {**fields_of(admin_client.get(address).content.decode()), **typed}
    secret = text_in(admin_client.post(address, data)).rpartition("_")[2]
    again = admin_client.post(address, data)
    assert again.status_code == 409
    assert "cannot be shown again" in again.content.decode()
    assert secret not in again.content.decode()
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("typed", [PLANNED, LEAKED], ids=["planned", "leaked"])
def test_four_clicks_at_once_make_one_successor(admin_client, key, address, typed):
    data = {**fields_of(admin_client.get(address).content.decode()), **typed}
    cookies = admin_client.cookies

    def click(_):
        browser = Browser()
        browser.cookies = cookies
        try:
            return browser.post(address, data).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(click, range(4))) == [200, 409, 409, 409]
    assert ApiKey.objects.count() == 2


def test_two_people_do_not_rotate_one_key_unawares(admin_client, staff, key, address):
    other = staff("rotate_apikey")
    mine = {**fields_of(admin_client.get(address).content.decode()), **PLANNED}
    theirs = {**fields_of(other.get(address).content.decode()), **PLANNED}
    assert text_in(other.post(address, theirs))
    told = admin_client.post(address, mine)
    assert "Somebody else has rotated this key" in said(told)
    assert ApiKey.objects.count() == 2
    again = {**fields_of(told.content.decode()), **PLANNED}
    assert text_in(admin_client.post(address, again))
    assert ApiKey.objects.count() == 3


def test_a_key_that_was_revoked_meanwhile_is_not_rotated(admin_client, key, address):
    data = {**fields_of(admin_client.get(address).content.decode()), **PLANNED}
    key.revoke("lost")
    assert "revoked" in admin_client.post(address, data).content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_what_is_over_is_not_offered_to_be_rotated(admin_client, key, address, end):
    if end == "revoked":
        key.revoke("lost")
    else:
        ApiKey.objects.update(expires_at=timezone.now())
    page = admin_client.get(address).content.decode()
    assert "create a new key" in page
    assert f"{url('apikey_add')}?client={key.client_id}" in page
    assert 'name="how"' not in page


def test_a_setting_that_is_wrong_by_now_is_reported_and_nothing_ends(admin_client, key, address):
    with override_settings(APIGUARD=settings_of(SCOPES=["other"])):
        response = fill_in(admin_client, address, **LEAKED)
    assert "registry" in said(response)
    assert ApiKey.objects.get().revoked_at is None


def test_making_a_key_that_would_be_refused_shows_a_warning(admin_client, key, address):
    Client.objects.update(enabled=False)
    assert "not enabled" in fill_in(admin_client, address, **PLANNED).content.decode()


@pytest.mark.parametrize(
    "permissions",
    [
        pytest.param(("view_apikey",), id="look"),
        pytest.param(("add_apikey", "change_apikey", "view_apikey"), id="add and change"),
        pytest.param(("revoke_apikey", "view_apikey"), id="revoke"),
    ],
)
def test_it_takes_the_permission(staff, key, address, permissions):
    browser = staff(*permissions)
    assert browser.get(address).status_code == 403
    assert browser.post(address, LEAKED).status_code == 403
    if "view_apikey" in permissions:
        assert address not in browser.get(url("apikey_change", key.pk)).content.decode()


def test_the_permission_alone_is_enough(staff, key, address):
    assert text_in(fill_in(staff("rotate_apikey"), address, **LEAKED))


def test_a_key_of_a_client_that_acts_as_a_superuser_is_rotated_by_a_superuser(
    staff, admin_client, admin_user, key, address
):
    browser = staff("rotate_apikey")
    data = {**fields_of(browser.get(address).content.decode()), **LEAKED}
    Client.objects.update(owner=admin_user, acts_as_owner=True)
    assert "only a superuser" in said(browser.post(address, data))
    assert "only a superuser" in browser.get(address).content.decode()
    assert ApiKey.objects.count() == 1
    assert text_in(fill_in(admin_client, address, **LEAKED))


def test_a_popup_stays_a_popup(admin_client, key, address):
    page = admin_client.get(f"{address}?_popup=1")
    data = {**fields_of(page.content.decode()), **PLANNED}
    assert data["_popup"] == "1"
    assert 'id="apiguard-close"' in admin_client.post(address, data).content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_key_that_does_not_exist_is_not_found(admin_client, key, method):
    assert getattr(admin_client, method)(url("apikey_rotate", key.pk + 9)).status_code == 404
