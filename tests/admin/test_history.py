"""The history of policy is read, never written, and says what differs."""

from __future__ import annotations

import pytest

from apiguard.models import PolicyChange, Route, acting

from .pages import fill_in, url


@pytest.fixture
def change(route, admin_user):
    with acting(admin_user, request_id="req-1", reason="asked for"):
        route.path_prefix = "/v2/"
        route.save()
    return PolicyChange.objects.first()


@pytest.mark.parametrize("words", ["/api/", "/v2/", "path prefix", "req-1", "asked for", "admin"])
def test_a_change_shows_who_what_and_why(admin_client, change, words):
    assert words in admin_client.get(url("policychange_change", change.pk)).content.decode()


def test_a_change_leads_to_its_row(admin_client, change, route):
    page = admin_client.get(url("policychange_change", change.pk)).content.decode()
    assert url("route_change", route.pk) in page


def test_a_change_of_a_row_that_is_gone_has_no_link(admin_client, route, admin_user):
    pk = route.pk
    route.delete()
    change = PolicyChange.objects.first()
    page = admin_client.get(url("policychange_change", change.pk))
    assert page.status_code == 200
    assert url("route_change", pk) not in page.content.decode()


def test_what_was_typed_is_escaped(admin_client, route):
    fill_in(admin_client, url("route_change", route.pk), name="<b>bold</b>")
    change = PolicyChange.objects.first()
    assert "<b>bold" not in admin_client.get(url("policychange_change", change.pk)).content.decode()


def test_nobody_adds_changes_or_deletes_history(admin_client, change):
    assert admin_client.get(url("policychange_add")).status_code == 403
    address = url("policychange_change", change.pk)
    assert admin_client.post(address, {"actor_name": "nobody"}).status_code == 403
    delete = url("policychange_delete", change.pk)
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert PolicyChange.objects.filter(pk=change.pk, actor_name=change.actor_name).exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "api"}, True),
        ({"q": "nothing like it"}, False),
        ({"action__exact": "changed"}, True),
        ({"action__exact": "deleted"}, False),
        ({"model": "apiguard.route"}, True),
    ],
)
def test_changes_are_filtered_and_searched(admin_client, change, query, found):
    page = admin_client.get(url("policychange_changelist"), query)
    assert (change in page.context["cl"].result_list) is found


def test_each_row_of_a_change_of_several_is_shown(admin_client, route):
    Route.objects.update(mode="off")
    change = PolicyChange.objects.first()
    page = admin_client.get(url("policychange_change", change.pk)).content.decode()
    assert route.name in page
    assert "observe" in page


@pytest.mark.parametrize(
    # PostgreSQL refuses NUL, and no calendar has such years.
    "query",
    [
        *("model=%00", "object_pk=%00", "action__exact=%00"),
        *("at__year=99999", f"at__year={'9' * 30}"),
    ],
)
def test_a_query_that_cannot_be_answered_is_dropped(admin_client, route, query):
    answer = admin_client.get(f"{url('policychange_changelist')}?{query}")
    assert (answer.status_code, answer.url) == (302, f"{url('policychange_changelist')}?e=1")
    assert admin_client.get(answer.url).status_code == 200


def test_a_comparison_that_some_databases_have_is_answered_or_dropped(admin_client, route):
    address = f"{url('policychange_changelist')}?before__contains=x"
    assert admin_client.get(address, follow=True).status_code == 200
