"""A key is made once, shown once, and its digest is nobody's business."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test import override_settings

from apiguard import conf
from apiguard.admin.keys import form_tokens
from apiguard.models import ApiKey, Client
from apiguard.rules.keys import matches, pattern
from tests.request.site import settings_of

from ..pages import errors_of, fields_of, fill_in, url

TEXT = re.compile(pattern("ag"))


def make_key(browser, acme, **typed):
    given = {"client": acme.pk, "name": "laptop", "scopes": "orders:read\norders:write", **typed}
    return fill_in(browser, url("apikey_add"), **given)


def text_in(response) -> str:
    (text,) = set(TEXT.findall(response.content.decode()))
    return text


def test_the_response_to_the_form_shows_the_key_and_tells_everybody_to_forget_it(
    admin_client, acme
):
    response = make_key(admin_client, acme)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "same-origin"
    # By itself, and in the command that tries it.
    assert response.content.decode().count(text_in(response)) == 2


def test_what_is_shown_is_the_key_that_was_made(admin_client, acme):
    text = text_in(
        make_key(
            admin_client, acme, environment="test", expires_at_0="2099-01-01", expires_at_1="00:00"
        )
    )
    key = ApiKey.objects.get()
    assert text.startswith(f"ag_test_{key.key_id}_")
    assert matches(text, conf.current().key_peppers[key.pepper_id], key.digest)
    assert (key.client, key.name, key.scopes) == (acme, "laptop", ["orders:read", "orders:write"])
    assert key.expires_at.year == 2099


@pytest.mark.parametrize("page", ["change", "history", "changelist"])
def test_no_later_page_shows_the_key_or_its_digest(admin_client, acme, page):
    secret = text_in(make_key(admin_client, acme)).rpartition("_")[2]
    key = ApiKey.objects.get()
    arguments = [] if page == "changelist" else [key.pk]
    shown = admin_client.get(url(f"apikey_{page}", *arguments)).content.decode()
    assert secret not in shown
    assert key.digest not in shown
    assert f"ag_live_{key.key_id}_…" in shown or page == "history"


def test_sending_the_same_form_again_makes_no_second_key(admin_client, acme):
    page = admin_client.get(url("apikey_add"))
    data = {**fields_of(page.content.decode()), "client": acme.pk, "name": "laptop"}
    secret = text_in(admin_client.post(url("apikey_add"), data))
    again = admin_client.post(url("apikey_add"), data)
    assert again.status_code == 409
    assert "cannot be shown again" in again.content.decode()
    assert secret not in again.content.decode()
    assert ApiKey.objects.count() == 1


def test_a_form_with_an_error_may_be_mended_and_makes_one_key(admin_client, acme):
    refused = make_key(admin_client, acme, name="")
    assert "name" in refused.context["adminform"].form.errors
    data = {**fields_of(refused.content.decode()), "name": "laptop"}
    assert data["scopes"].split() == ["orders:read", "orders:write"]
    assert text_in(admin_client.post(url("apikey_add"), data))
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_four_clicks_at_once_make_one_key(admin_client, acme):
    page = admin_client.get(url("apikey_add"))
    data = {**fields_of(page.content.decode()), "client": acme.pk, "name": "laptop"}
    cookies = admin_client.cookies

    def click(_):
        browser = Browser()
        browser.cookies = cookies
        try:
            return browser.post(url("apikey_add"), data).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(click, range(4)))
    assert statuses == [200, 409, 409, 409]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    "form_token",
    [
        pytest.param("", id="none"),
        pytest.param("made-up", id="made up"),
        pytest.param(form_tokens.create("somebody else"), id="somebody else's"),
    ],
)
def test_without_a_token_of_ones_own_no_key_is_made(admin_client, acme, form_token):
    response = make_key(admin_client, acme, form_token=form_token)
    assert "too old" in errors_of(response)
    assert not ApiKey.objects.exists()
    mended = admin_client.post(url("apikey_add"), fields_of(response.content.decode()))
    assert text_in(mended)


def test_a_popup_shows_the_key_and_offers_to_close(admin_client, acme):
    page = admin_client.get(url("apikey_add") + "?_popup=1")
    data = {**fields_of(page.content.decode()), "client": acme.pk, "name": "laptop"}
    assert data["_popup"] == "1"
    response = admin_client.post(url("apikey_add"), data)
    assert text_in(response)
    assert 'id="apiguard-close"' in response.content.decode()


def test_the_page_of_the_key_has_no_inline_script_or_style(admin_client, acme):
    page = make_key(admin_client, acme).content.decode()
    assert "<style" not in page
    assert not re.search(r"\sstyle=|\son[a-z]+=", page)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", page))


def test_a_name_is_escaped_where_the_key_is_shown(admin_client, acme):
    page = make_key(admin_client, acme, name="<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page


def test_who_may_only_change_keys_makes_none(staff, acme, key):
    browser = staff("view_apikey", "change_apikey", "view_client")
    assert browser.get(url("apikey_add")).status_code == 403
    assert browser.post(url("apikey_add"), {"client": acme.pk, "name": "x"}).status_code == 403


def test_who_may_add_but_not_look_still_sees_the_key_once(staff, acme):
    browser = staff("add_apikey", "view_client", "grant_scopes")
    assert text_in(make_key(browser, acme))


@pytest.mark.parametrize("find", ["laptop", "acme", "Acme"])
def test_a_key_is_found_by_its_name_and_client(admin_client, key, find):
    page = admin_client.get(url("apikey_changelist"), {"q": find})
    assert list(page.context["cl"].result_list) == [key]


@pytest.mark.parametrize("shown", ["{id}", "ag_live_{id}_…", "ag_live_{id}"])
def test_a_key_is_found_by_what_is_shown_of_it(admin_client, key, shown):
    page = admin_client.get(url("apikey_changelist"), {"q": shown.format(id=key.key_id)})
    assert list(page.context["cl"].result_list) == [key]


def test_a_key_is_not_found_by_its_digest(admin_client, key):
    for query in (key.digest, key.digest[:8], key.pepper_id):
        page = admin_client.get(url("apikey_changelist"), {"q": query})
        assert not list(page.context["cl"].result_list)


@pytest.mark.parametrize(
    ("screen", "lookup"),
    [
        ("apikey", "digest"),
        ("apikey", "digest__startswith"),
        ("apikey", "pepper_id"),
        ("apikey", "replaces__digest__startswith"),
        ("client", "keys__digest__startswith"),
        ("tier", "clients__keys__digest__gt"),
    ],
)
def test_a_digest_cannot_be_filtered_by(admin_client, key, screen, lookup):
    assert admin_client.get(url(f"{screen}_changelist"), {lookup: "0"}).status_code == 400


def test_keys_are_never_deleted(admin_client, key):
    assert admin_client.post(url("apikey_delete", key.pk), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"}
    admin_client.post(url("apikey_changelist"), data)
    admin_client.post(url("client_delete", key.client_id), {"post": "yes"})
    assert ApiKey.objects.filter(pk=key.pk).exists()
    assert "delete_selected" not in admin_client.get(url("apikey_changelist")).content.decode()


def test_what_was_decided_about_a_key_stays(admin_client, key, tier):
    other = Client.objects.create(slug="other", name="Other", tier=tier)
    response = fill_in(
        admin_client,
        url("apikey_change", key.pk),
        name="desktop",
        scopes="orders:write",
        client=other.pk,
        environment="test",
        not_before_0="2099-01-01",
        not_before_1="00:00",
        digest="0" * 64,
        key_id="x" * 12,
    )
    assert response.status_code == 302
    changed = ApiKey.objects.get()
    assert (changed.name, changed.scopes) == ("desktop", ["orders:write"])
    for name in ("client", "environment", "not_before", "digest", "key_id", "pepper_id"):
        assert getattr(changed, name) == getattr(key, name)


def test_a_revoked_key_can_only_be_looked_at(admin_client, key, admin_user):
    key.revoke("leaked", admin_user)
    page = admin_client.get(url("apikey_change", key.pk)).content.decode()
    assert "leaked" in page
    assert 'name="name"' not in page
    fill_in(admin_client, url("apikey_change", key.pk), name="alive", scopes="orders:write")
    assert ApiKey.objects.get().name == "laptop"


def test_a_key_that_ends_before_it_begins_is_refused_at_its_field(admin_client, acme):
    response = make_key(
        admin_client,
        acme,
        not_before_0="2099-01-01",
        not_before_1="00:00",
        expires_at_0="2098-01-01",
        expires_at_1="00:00",
    )
    assert "expires_at" in response.context["adminform"].form.errors


def test_the_list_filters_by_state(admin_client, key):
    valid = admin_client.get(url("apikey_changelist"), {"state": "valid"})
    revoked = admin_client.get(url("apikey_changelist"), {"state": "revoked"})
    assert list(valid.context["cl"].result_list) == [key]
    assert not list(revoked.context["cl"].result_list)


def test_forms_of_two_people_do_not_share_tokens(admin_client, staff, acme):
    page = admin_client.get(url("apikey_add"))
    data = {**fields_of(page.content.decode()), "client": acme.pk, "name": "laptop"}
    other = staff("add_apikey", "view_client")
    assert "too old" in errors_of(other.post(url("apikey_add"), data))


def test_an_anonymous_visitor_is_asked_to_sign_in(acme):
    response = Browser().post(url("apikey_add"), {"client": acme.pk, "name": "laptop"})
    assert response.status_code == 302
    assert not ApiKey.objects.exists()


# -- scopes of a registry ----------------------------------------------------------------

REGISTRY = settings_of(SCOPES=["orders:read", "orders:write", "users:read"])


def boxes(page) -> dict[str, bool]:
    """Scope -> whether it is ticked."""
    found = re.findall(r'<input type="checkbox" name="scopes" value="([^"]+)"([^>]*)>', page)
    return {scope: "checked" in rest for scope, rest in found}


@override_settings(APIGUARD=REGISTRY)
def test_registered_scopes_are_offered_to_tick(admin_client, acme):
    page = admin_client.get(url("apikey_add")).content.decode()
    assert boxes(page) == dict.fromkeys(["orders:read", "orders:write", "users:read"], False)
    make_key(admin_client, acme, scopes=["orders:read", "users:read"])
    assert ApiKey.objects.get().scopes == ["orders:read", "users:read"]


@override_settings(APIGUARD=REGISTRY)
def test_a_scope_that_is_not_registered_is_not_made(admin_client, acme):
    response = make_key(admin_client, acme, scopes=["orders:raed"])
    assert "scopes" in response.context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_a_scope_that_was_registered_once_is_shown_and_may_be_taken_away(admin_client, acme):
    key = ApiKey.objects.issue(acme, "old", ["orders:read", "gone"])[0]
    with override_settings(APIGUARD=REGISTRY):
        address = url("apikey_change", key.pk)
        page = admin_client.get(address).content.decode()
        assert boxes(page) == {
            "orders:read": True,
            "orders:write": False,
            "users:read": False,
            "gone": True,
        }
        assert "gone (not registered)" in page
        renamed = fill_in(admin_client, address, name="new", scopes=["orders:read", "gone"])
        assert renamed.status_code == 302
        fill_in(admin_client, address, scopes=["orders:read"])
    assert ApiKey.objects.get().scopes == ["orders:read"]


def test_a_key_links_to_the_one_before_it_and_those_after(admin_client, key):
    new, _ = key.rotate(timedelta(hours=1))
    assert (
        url("apikey_change", new.pk)
        in admin_client.get(url("apikey_change", key.pk)).content.decode()
    )
    assert (
        url("apikey_change", key.pk)
        in admin_client.get(url("apikey_change", new.pk)).content.decode()
    )
