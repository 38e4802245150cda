"""Whose key is this? An answer, and no trace of the question."""

from __future__ import annotations

import pytest
from django.test import override_settings
from django.utils import timezone

from apiguard.models import ApiKey
from apiguard.rules.keys import generate

from ..pages import everything_stored, fill_in, url


@pytest.fixture
def made(acme):
    return ApiKey.objects.issue(acme, "laptop", ["orders:read"])


def ask(browser, text, popup=""):
    response = fill_in(browser, url("apikey_identify") + popup, text=text)
    assert response.status_code == 200
    return response


def end(key, how):
    if how == "revoked":
        key.revoke("lost")
    elif how == "expired":
        ApiKey.objects.update(expires_at=timezone.now())


@pytest.mark.parametrize(
    ("how", "offered"), [("valid", True), ("revoked", False), ("expired", False)]
)
def test_a_key_of_ours_is_named_with_its_client_and_state(admin_client, made, how, offered):
    key, text = made
    end(key, how)
    page = ask(admin_client, f"  Authorization: ApiKey {text}\n").content.decode()
    assert f"ag_live_{key.key_id}_…" in page
    assert "laptop</a> of Acme" in page
    assert f">{how}</span>" in page
    assert (url("apikey_rotate", key.pk) in page) is offered
    assert (url("apikey_revoke", key.pk) in page) is offered


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param(generate("ag", "live").text, "No key of this site", id="of another site"),
        pytest.param(generate("ag", "live").text[:-1] + "!", "no whole key", id="cut short"),
        pytest.param("hello", "no whole key", id="no key"),
        pytest.param("ag_live_" + "a" * 12 + "_" + "b" * 38, "checksum", id="mistyped"),
        pytest.param("", "This field is required", id="nothing"),
        pytest.param("x" * 20_001, "at most 20000", id="too long"),
        pytest.param("\udcff\x00", "no", id="no text"),
    ],
)
def test_what_is_no_key_of_ours_is_reported(admin_client, made, text, answer):
    shown = ask(admin_client, text.encode("utf-8", "replace").decode()).content.decode()
    assert answer.replace("&#x27;", "'") in shown.replace("&#x27;", "'")


def test_a_right_id_with_another_secret_has_not_leaked(admin_client, made):
    forged = generate("ag", "live")
    ApiKey.objects.update(key_id=forged.key_id)
    page = ask(admin_client, forged.text).content.decode()
    assert "another secret" in page
    assert "Nothing has leaked" in page


def test_a_key_whose_pepper_is_gone_is_shown_as_such(admin_client, made):
    with override_settings(APIGUARD={"KEY_PEPPERS": {}, "POLICY_MAX_AGE": None}):
        assert "its pepper is missing" in ask(admin_client, made[1]).content.decode()


@pytest.mark.parametrize("how", ["valid", "revoked", "unknown"])
def test_what_is_pasted_is_in_no_page_table_session_cookie_message_or_log(
    admin_client, made, caplog, how
):
    for logger in ("", "django", "apiguard"):
        caplog.set_level("DEBUG", logger=logger)
    key, text = made
    end(key, how)
    text = generate("ag", "live").text if how == "unknown" else text
    secret = text.rpartition("_")[2]
    response = ask(admin_client, text)
    assert "no-store" in response["Cache-Control"]
    for place in (response.content.decode(), str(response.headers), str(admin_client.cookies)):
        assert secret not in place
    assert secret not in everything_stored() + caplog.text


def test_the_box_is_not_filled_in_kept_or_spell_checked_elsewhere(admin_client):
    page = admin_client.get(url("apikey_identify"))
    shown = page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert 'autocomplete="off"' in shown[shown.index("<textarea") :]
    assert 'spellcheck="false"' in shown


def test_the_text_in_the_address_is_not_read(admin_client, made):
    page = admin_client.get(url("apikey_identify"), {"text": made[1]})
    assert "laptop" not in page.content.decode()


def test_the_list_leads_to_the_box_and_a_popup_stays_one(admin_client, made):
    assert url("apikey_identify") in admin_client.get(url("apikey_changelist")).content.decode()
    popup = admin_client.get(url("apikey_changelist") + "?_popup=1").content.decode()
    assert url("apikey_identify") + "?_popup=1" in popup
    page = ask(admin_client, made[1], popup="?_popup=1").content.decode()
    assert 'name="_popup"' in page
    assert "?_popup=1" in page[page.index("laptop") - 200 : page.index("laptop")]


def test_it_takes_the_permission_to_look_at_keys(staff, made):
    browser = staff("add_apikey", "view_client")
    assert browser.get(url("apikey_identify")).status_code == 403
    assert browser.post(url("apikey_identify"), {"text": made[1]}).status_code == 403


def test_a_whole_key_in_the_search_is_taken_out_of_the_address_and_its_owner_warned(
    admin_client, made
):
    key, text = made
    answer = admin_client.get(url("apikey_changelist"), {"q": f" {text} ", "state": "valid"})
    assert answer.status_code == 302
    assert text not in answer["Location"]
    page = admin_client.get(answer["Location"])
    assert list(page.context["cl"].result_list) == [key]
    assert "whole key" in page.content.decode()
    assert text.rpartition("_")[2] not in page.content.decode()
