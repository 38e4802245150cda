"""The spelling that an error suggests is one click away, without scripts."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.http import QueryDict

from apiguard.admin.suggestions import apply_suggestion
from apiguard.models import AllowedOrigin, CorsPolicy

from .pages import errors_of, fields_of, fill_in, url

MISSPELLED = "HTTPS://Shop.example.com:443/"
SPELLED = "https://shop.example.com"


def buttons_of(page: str) -> dict[str, str]:
    """Name -> value of the buttons that accept a spelling."""
    found = re.findall(r'<button type="submit"[^>]*name="(accept-[^"]*)" value="([^"]*)"', page)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def press_the_only_button(browser, address, response):
    page = response.content.decode()
    return browser.post(address, {**fields_of(page), **buttons_of(page)})


def test_an_origin_is_accepted_with_one_click(admin_client, cors):
    address = url("allowedorigin_add")
    shown = fill_in(admin_client, address, policy=cors.pk, pattern=MISSPELLED, enabled="on")
    assert f"Did you mean {SPELLED}?" in html.unescape(shown.content.decode())
    assert list(buttons_of(shown.content.decode())) == ["accept-pattern"]
    assert press_the_only_button(admin_client, address, shown).status_code == 302
    assert cors.origins.filter(pattern=SPELLED, enabled=True).exists()


def test_everything_that_is_wrong_is_shown_at_once(admin_client, cors):
    shown = fill_in(admin_client, url("allowedorigin_add"), policy=cors.pk, pattern=MISSPELLED)
    errors = errors_of(shown)
    for reason in ("in lower case", "An origin has no path", "default port"):
        assert reason in errors
    codes = shown.context["adminform"].form.errors.get_json_data()["pattern"]
    assert [error["code"] for error in codes] == [
        *("upper_case", "path", "default_port"),
        "did_you_mean",
    ]


def test_a_row_inside_the_policy_is_accepted_with_one_click(admin_client, cors):
    address = url("corspolicy_change", cors.pk)
    shown = fill_in(
        admin_client,
        address,
        **{
            "origins-TOTAL_FORMS": "2",
            "origins-1-policy": cors.pk,
            "origins-1-pattern": MISSPELLED,
            "origins-1-enabled": "on",
            "origins-1-note": "typed",
        },
    )
    assert list(buttons_of(shown.content.decode())) == ["accept-origins-1-pattern"]
    assert press_the_only_button(admin_client, address, shown).status_code == 302
    assert cors.origins.get(pattern=SPELLED).note == "typed"


def test_all_lines_of_a_list_are_mended_with_one_click(admin_client, cors):
    address = url("corspolicy_change", cors.pk)
    shown = fill_in(admin_client, address, allowed_methods="put\nGET\npatch")
    assert "Did you mean PUT, GET, PATCH?" in shown.content.decode()
    assert press_the_only_button(admin_client, address, shown).status_code == 302
    assert CorsPolicy.objects.get().allowed_methods == ["PUT", "GET", "PATCH"]


def test_what_cannot_be_mended_offers_nothing(admin_client, cors):
    shown = fill_in(admin_client, url("allowedorigin_add"), policy=cors.pk, pattern="null")
    assert buttons_of(shown.content.decode()) == {}


def test_enter_after_another_edit_does_not_bring_the_old_suggestion_back(admin_client, cors):
    # Enter presses a form's first button, which is the one beside the error.
    address = url("allowedorigin_add")
    page = fill_in(
        admin_client, address, policy=cors.pk, pattern=MISSPELLED, enabled="on"
    ).content.decode()
    typed = {**fields_of(page), **buttons_of(page), "pattern": "https://other.example.com"}
    assert admin_client.post(address, typed).status_code == 302
    assert not AllowedOrigin.objects.filter(pattern=SPELLED).exists()
    assert AllowedOrigin.objects.filter(pattern="https://other.example.com").exists()


def test_an_accepted_spelling_is_judged_like_a_typed_one(admin_client, cors):
    offer = json.dumps([MISSPELLED, "https://*.github.io"])
    data = {"policy": cors.pk, "pattern": MISSPELLED, "accept-pattern": offer, "enabled": "on"}
    assert "Anyone can register" in errors_of(admin_client.post(url("allowedorigin_add"), data))


@pytest.mark.parametrize(
    "value", ["", "[]", "[1, 2]", '["a"]', '"a"', "{", "null", "[" * 100_000, '["a", null]']
)
def test_a_made_up_button_changes_nothing(value):
    post = QueryDict(mutable=True)
    post.update({"pattern": "a", "accept-pattern": value, "accept-": '["", "b"]'})
    assert apply_suggestion(post)["pattern"] == "a"


def test_what_a_page_shows_of_a_pattern_is_escaped(admin_client, cors):
    evil = "https://example.com/<script>\"'"
    shown = fill_in(admin_client, url("allowedorigin_add"), policy=cors.pk, pattern=evil)
    page = shown.content.decode()
    assert "/<script>" not in page
    assert json.loads(buttons_of(page)["accept-pattern"]) == [evil, "https://example.com"]


def test_nothing_is_suggested_twice_and_nothing_that_stays_wrong(admin_client, cors):
    address = url("corspolicy_change", cors.pk)
    shown = fill_in(admin_client, address, allowed_methods=["GET", "get", "TRACE"])
    assert "Did you mean GET? " in errors_of(shown)
    assert press_the_only_button(admin_client, address, shown).status_code == 302
    cors.refresh_from_db()
    assert cors.allowed_methods == ["GET"]


def test_the_first_button_of_a_refused_form_accepts_no_suggestion(admin_client, cors):
    shown = fill_in(admin_client, url("allowedorigin_add"), policy=cors.pk, pattern=MISSPELLED)
    page = shown.content.decode()
    form = page[page.index('id="allowedorigin_form"') :]
    first = re.search(r'type="submit"[^>]*name="([^"]*)"', form)
    assert first is not None
    assert first[1] == "_save"
