"""Lists of words are check boxes, in the order that the row has."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from apiguard.admin.pick_lists import PickList, known_scopes, sent_words
from apiguard.models import Route

from .pages import fields_of, fill_in, url


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("", []),
        ("methods=GET&methods=POST", ["GET", "POST"]),
        ("methods=GET%0APOST", ["GET", "POST"]),
        ("methods=GET&methods-other=PURGE+REPORT", ["GET", "PURGE", "REPORT"]),
        ("methods-other=", []),
    ],
)
def test_boxes_and_other_words_are_one_list(sent, words):
    assert sent_words(QueryDict(sent), "methods").splitlines() == words


def test_what_a_row_has_comes_first_and_is_checked():
    page = PickList(lambda: ["GET", "POST"]).render("methods", ["PURGE", "POST"], {"id": "m"})
    assert page.index("PURGE") < page.index("POST") < page.index("GET")
    assert page.count(" checked>") == 2


def test_a_word_cannot_break_out_of_its_box():
    assert "<script>" not in PickList(list).render("methods", ['"><script>'], {"id": "m"})


def test_a_form_that_nobody_changed_changes_nothing(admin_client, route):
    Route.objects.filter(pk=route.pk).update(methods=["PURGE", "GET"])
    before = Route.objects.get(pk=route.pk).revision
    assert fill_in(admin_client, url("route_change", route.pk)).status_code == 302
    assert Route.objects.get(pk=route.pk).methods == ["PURGE", "GET"]
    assert Route.objects.get(pk=route.pk).revision == before


def test_scopes_are_those_of_the_settings_else_those_in_use(route, key, settings):
    key.scopes = ["reports:read"]
    key.save()
    assert known_scopes() == ["orders:read", "reports:read"]
    settings.APIGUARD = {**settings.APIGUARD, "SCOPES": ["orders:read", "orders:write"]}
    assert known_scopes() == ["orders:read", "orders:write"]


def test_a_copy_takes_everything_but_name_and_path(admin_client, route):
    page = admin_client.get(f"{url('route_add')}?copy={route.pk}").content.decode()
    fields = fields_of(page)
    assert (fields["name"], fields["path_prefix"]) == ("", "")
    assert fields["methods"] == ["GET", "POST"]
    assert fields["cors_policy"] == str(route.cors_policy_id)
    address = url("route_add")
    saved = admin_client.post(address, {**fields, "name": "copy", "path_prefix": "/copy/"})
    assert saved.status_code == 302
    copy = Route.objects.get(name="copy")
    kept = ("accepts", "max_body_bytes", "required_scopes", "anonymous_tier_id", "mode", "access")
    assert [getattr(copy, name) for name in kept] == [getattr(route, name) for name in kept]


@pytest.mark.parametrize("pk", ["", "0", "x", "9" * 30, "-1"])
def test_a_copy_of_nothing_is_an_empty_form(admin_client, pk):
    assert admin_client.get(f"{url('route_add')}?copy={pk}").status_code == 200
    assert admin_client.get(f"{url('route_add')}?preset={pk}").status_code == 200


def test_a_copy_shows_nobody_what_they_may_not_view(staff, route):
    page = staff("add_route").get(f"{url('route_add')}?copy={route.pk}").content.decode()
    assert fields_of(page)["cors_policy"] == ""


def test_tiers_are_shown_with_their_rates(admin_client, tier):
    assert "Free: 60 per minute" in admin_client.get(url("route_add")).content.decode()
    assert "Free: 60 per minute" in admin_client.get(url("client_add")).content.decode()
