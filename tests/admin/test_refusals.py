"""Refused requests in the admin: found by id, explained with both sides, read-only."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import override_settings
from django.utils import timezone

from apiguard.models import HourlyCount, PolicyState, Refusal
from tests.admin.pages import url
from tests.refused import refuse

pytestmark = pytest.mark.django_db


@pytest.fixture
def refusal(route, key):
    client = key.client
    return refuse(
        route_pk=route.pk,
        route_name=route.name,
        row_model="route",
        row_pk=str(route.pk),
        row_name=route.name,
        client_pk=client.pk,
        client_slug=client.slug,
        key_id=key.key_id,
        principal=f"client:{client.pk}",
        is_identified=True,
        limits=[
            {
                "name": "per-minute",
                "rate": "60 per minute",
                "used": 1,
                "remaining": 59,
                "exceeded": False,
                "shadow": False,
            }
        ],
    )


def detail(refusal):
    return url("refusal_change", refusal.pk)


# -- find -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["11111111-quoted", " 11111111-quoted ", "11111111", "-quot"])
def test_an_id_or_a_part_of_it_leads_to_the_page(admin_client, refusal, text):
    answer = admin_client.get(url("find"), {"id": text})
    assert (answer.status_code, answer.url) == (302, detail(refusal))


def test_an_id_that_several_requests_have_leads_to_the_list(admin_client, refusal):
    refuse()
    answer = admin_client.get(url("find"), {"id": "11111111-quoted"})
    assert answer.url == f"{url('refusal_changelist')}?q=11111111-quoted"
    assert admin_client.get(answer.url).context["cl"].result_count == 2


def test_an_id_that_is_not_found_says_why_that_may_be(admin_client, refusal):
    HourlyCount.objects.add(timezone.now(), 1, "no_credential", True, 5000, unkept=4980)
    page = admin_client.get(url("find"), {"id": "nobody-knows"}).content.decode()
    for why in (
        "No refused request with this id is kept",
        "was not refused",
        "within the last three seconds",
        "older than what is kept: 7 days, and 200,000 rows",
        "4,980 more were counted",
        "response header X-Request-ID",
    ):
        assert why in page


@pytest.mark.parametrize("text", ["", "x", "\x00", "'", "%", "\ud800", "x" * 5000, "<script>"])
def test_whatever_is_typed_into_the_box_is_answered(admin_client, text):
    answer = admin_client.get(url("find"), {"id": text.encode("utf-8", "replace")})
    assert answer.status_code == 200
    assert "<script>" not in answer.content.decode().replace("<script src", "")


@override_settings(APIGUARD={"REFUSALS_KEEP_ROWS": 0})
def test_where_nothing_is_kept_the_page_says_so(admin_client):
    page = admin_client.get(url("find"), {"id": "nobody-knows"}).content.decode()
    assert "Refused requests are not kept" in page


@pytest.mark.parametrize("name", ["overview", "refusal_changelist", "refusal_grouped", "find"])
def test_the_box_stands_on_every_page_where_one_looks_for_a_request(admin_client, route, name):
    assert 'name="id"' in admin_client.get(url(name)).content.decode()


def test_the_box_stands_on_the_index_of_the_app(admin_client, staff):
    assert 'name="id"' in admin_client.get("/admin/apiguard/").content.decode()
    page = staff("view_route").get("/admin/apiguard/").content.decode()
    assert 'name="id"' not in page


# -- one request ------------------------------------------------------------------


def test_the_first_page_of_the_admin_leads_to_the_box_who_may_use_it(admin_client, staff):
    page = url("find")
    assert f'href="{page}"' in admin_client.get("/admin/").content.decode()
    assert "apiguard-find" in admin_client.get(page).content.decode()
    assert f'href="{page}"' not in staff("view_route").get("/admin/").content.decode()


def test_the_page_names_reason_row_caller_and_revision(admin_client, refusal, route, key):
    page = admin_client.get(detail(refusal)).content.decode()
    assert "Answered 403 at" in page
    assert "UTC" in page
    assert "needs orders:write; the key has orders:read" in page
    assert "</strong> Give the key the scope, in the admin." in page
    assert f'<a href="{url("route_change", route.pk)}">api</a>' in page
    assert f'<a href="{url("client_change", key.client_id)}">acme</a>' in page
    assert f'<a href="{url("apikey_change", key.pk)}">{key.key_id} (laptop)</a>' in page
    assert "60 per minute" in page
    assert "192.0.2.1" in page


def test_the_page_says_what_was_changed_since(admin_client, refusal, route):
    Refusal.objects.update(revision=PolicyState.objects.get().revision)
    assert "Since then" not in admin_client.get(detail(refusal)).content.decode()
    for methods in (["GET"], ["POST"]):
        route.methods = methods
        route.save()
    page = admin_client.get(detail(refusal)).content.decode()
    assert "Since then the route api was changed: 2 changes." in page


def test_an_observed_request_says_that_it_was_not_refused(admin_client):
    page = admin_client.get(detail(refuse(enforced=False))).content.decode()
    assert "Not refused, because the route only observed" in page


def test_the_button_fills_in_the_form_that_explains(admin_client, refusal, key):
    page = admin_client.get(detail(refusal))
    given = parse_qs(urlsplit(page.context["explain_url"]).query)
    assert given == {
        "method": ["GET"],
        "path": ["/api/orders/7"],
        "client": ["acme"],
        "key": [key.key_id],
        "address": ["192.0.2.1"],
    }
    form = admin_client.get(page.context["explain_url"])
    assert form.context["form"]["key"].value() == key.key_id


def test_other_requests_of_the_same_caller_are_listed(admin_client, refusal):
    refuse(request_id="of-another")
    other = refuse(request_id="of-the-same", client_pk=refusal.client_pk, reason="the same one's")
    page = admin_client.get(detail(refusal)).content.decode()
    assert detail(other) in page
    assert "the same one&#x27;s" in page
    assert "of-another" not in page


def test_without_permissions_nothing_is_linked_and_changes_are_not_shown(staff, refusal, route):
    browser = staff("view_refusal")
    route.save()
    page = browser.get(detail(refusal)).content.decode()
    assert "needs orders:write" in page
    for hidden in ("/route/", "/client/", "/apikey/", "Explain this again", "Since then"):
        assert hidden not in page


@pytest.mark.parametrize("name", ["refusal_changelist", "refusal_grouped", "find"])
def test_without_the_permission_there_is_no_page(staff, name):
    assert staff("view_route").get(url(name)).status_code == 403


def test_the_page_of_one_needs_the_permission_too(staff, refusal):
    assert staff("view_route").get(detail(refusal)).status_code == 403


def test_nobody_changes_adds_or_deletes(admin_client, refusal):
    assert admin_client.get(url("refusal_add")).status_code == 403
    assert admin_client.get(url("refusal_delete", refusal.pk)).status_code == 403
    assert admin_client.post(detail(refusal), {"reason": "x"}).status_code in (200, 403)
    refusal.refresh_from_db()
    assert refusal.reason.startswith("needs")


def test_a_row_that_was_pruned_leads_to_the_list_and_says_so(admin_client):
    answer = admin_client.get(url("refusal_change", 999), follow=True)
    assert "not kept any more" in answer.content.decode()


def test_a_row_that_is_gone_is_named_without_a_link(admin_client, refusal, route):
    route.delete()
    Refusal.objects.update(row_model="gone", row_pk="x")
    assert admin_client.get(detail(refusal)).status_code == 200


# -- the list ---------------------------------------------------------------------


@pytest.fixture
def several(refusal):
    refuse(request_id="anonymous", outcome="no_credential", reason="none was sent", status=401)
    refuse(request_id="observed", enforced=False, route_name="other")
    refuse(request_id="old", at=timezone.now() - timedelta(days=3))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"11111111-quoted", "anonymous", "observed", "old"}),
        ("client=acme", {"11111111-quoted"}),
        ("client=nobody", set()),
        ("route=other", {"observed"}),
        ("reason=no_credential", {"anonymous"}),
        ("result=observed", {"observed"}),
        ("result=refused&minutes=60", {"11111111-quoted", "anonymous"}),
        ("minutes=60&client=acme&reason=scope_missing", {"11111111-quoted"}),
        ("principal=ip:192.0.2.1&minutes=10080&result=refused", {"anonymous", "old"}),
        ("q=anonym", {"anonymous"}),
    ],
)
def test_the_filter_stands_in_the_url(admin_client, several, query, found):
    page = admin_client.get(f"{url('refusal_changelist')}?{query}")
    assert {row.request_id for row in page.context["cl"].result_list} == found


def test_groups_count_by_reason_route_and_client_and_lead_to_their_requests(admin_client, several):
    for _ in range(2):
        refuse(outcome="no_credential", reason="none", status=401)
    page = admin_client.get(f"{url('refusal_grouped')}?minutes=1440")
    groups = page.context["groups"]
    assert (groups[0]["reason"], groups[0]["count"]) == ("no credential", "3")
    assert len(groups) == 3
    listed = admin_client.get(groups[0]["url"])
    assert listed.context["cl"].result_count == 3
    assert "last 24 hours" in page.content.decode()


def test_the_page_says_how_many_are_counted_but_not_kept(admin_client):
    HourlyCount.objects.add(timezone.now(), 1, "no_credential", True, 5000, unkept=4980)
    for name in ("refusal_changelist", "refusal_grouped"):
        assert "4,980 more requests were refused" in admin_client.get(url(name)).content.decode()


@pytest.mark.parametrize(
    "query", ["p=99", "unknown=1", "client__x=1", "at__gte=x", "at__year=99999", "client=%00"]
)
def test_a_query_that_cannot_be_answered_shows_all_groups(admin_client, refusal, query):
    page = admin_client.get(f"{url('refusal_grouped')}?{query}", follow=True)
    assert page.status_code == 200
    assert len(page.context["groups"]) == 1
