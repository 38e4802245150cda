"""The page that explains a request: who may use it, what it shows, and what it keeps."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.views.debug import ExceptionReporter

from apiguard.models import ApiKey, HourlyCount, Route

from .pages import everything_stored, fields_of, fill_in, url

PAGE = "/admin/apiguard/explain/"


@pytest.fixture
def orders(acme):
    return Route.objects.create(
        name="orders",
        path_prefix="/orders/",
        mode="enforce",
        access="credentials",
        required_scopes=["orders:write"],
    )


def explained(browser, **typed):
    shown = fields_of(browser.get(PAGE).content.decode())
    response = browser.post(PAGE, {**shown, "path": "/orders/7", **typed})
    assert response.status_code == 200
    return response


def test_a_refusal_names_the_row_that_decided_with_a_link_to_it(admin_client, orders, key):
    page = explained(admin_client, client="acme").content.decode()
    assert "The guard answers 403" in page
    assert "needs orders:write; the key has orders:read" in page
    assert "</strong> Give the key the scope, in the admin." in page
    assert f'<a href="{url("route_change", orders.pk)}">orders</a>' in page
    assert f'<a href="{url("apikey_change", key.pk)}">laptop</a>' in page
    # A limit is edited in the form of its tier.
    assert f'<a href="{url("tier_change", key.client.tier_id)}">per-minute</a>' in page
    assert "59" in page
    assert "&quot;error&quot;: &quot;insufficient_permissions&quot;" in page


def test_a_credential_is_judged_and_kept_nowhere(admin_client, orders, acme):
    row, text = ApiKey.objects.issue(acme, "production", ("orders:write",))
    response = explained(admin_client, credential=text)
    assert "The guard lets the request pass" in response.content.decode()
    assert text not in response.content.decode()
    assert text not in everything_stored()
    assert "no-store" in response.headers["Cache-Control"]
    row.refresh_from_db()
    assert row.last_used_at is None
    assert not HourlyCount.objects.exists()


def test_what_a_user_may_not_view_is_named_without_a_link(staff, orders, key):
    page = explained(staff("explain_request"), client="acme").content.decode()
    assert "needs orders:write; the key has orders:read" in page
    assert url("route_change", orders.pk) not in page


def test_an_error_report_holds_no_credential(admin_client, orders, acme, monkeypatch, caplog):
    text = ApiKey.objects.issue(acme, "production")[1]

    def defect(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("apiguard.request.keys.judge_record", defect)
    admin_client.raise_request_exception = False
    typed = {"method": "GET", "path": "/orders/7", "credential": text}
    assert admin_client.post(PAGE, typed).status_code == 500
    (record,) = [record for record in caplog.records if record.exc_info]
    report = ExceptionReporter(record.request, *record.exc_info, is_email=True)
    assert "ZeroDivisionError" in report.get_traceback_text()
    assert text not in report.get_traceback_text() + report.get_traceback_html()


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_lacks_the_permission_sees_nothing(viewer, orders, method):
    assert getattr(viewer, method)(PAGE, {"path": "/orders/"}).status_code == 403


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"path": "orders"}, "begins with a slash"),
        ({"address": "nowhere"}, "no IP address"),
        ({"client": "acne"}, "no client with this slug"),
        ({"client": "acme", "credential": "ag_live_x"}, "not both"),
        ({"method": "PURGE"}, "not one of the available choices"),
        ({"path": ""}, "required"),
    ],
)
def test_what_is_no_request_is_reported_beside_the_form(admin_client, orders, typed, why):
    response = explained(admin_client, **typed)
    assert why in response.content.decode()
    assert response.context["explained"] is None


def test_the_form_is_filled_in_from_a_link_but_never_with_a_credential(admin_client, orders):
    query = {"path": "/orders/7", "client": "acme", "credential": "ag_live_x", "method": "PUT"}
    page = admin_client.get(PAGE, query).content.decode()
    assert 'value="/orders/7"' in page
    assert '<option value="PUT" selected>' in page
    assert "ag_live_x" not in page


def test_overview_and_index_link_to_it(admin_client, viewer, orders):
    for page in (reverse("admin:apiguard_overview"), "/admin/apiguard/"):
        assert PAGE in admin_client.get(page).content.decode()
        assert PAGE not in viewer.get(page).content.decode()


def test_a_site_of_ones_own_has_the_page_at_its_own_address(settings, admin_client, orders, key):
    settings.ROOT_URLCONF = "tests.admin.own_site"
    overview = reverse("admin:apiguard_overview")
    page = overview.replace("overview", "explain")
    assert page in admin_client.get(overview).content.decode()
    shown = fill_in(admin_client, page, path="/orders/7", client="acme").content.decode()
    assert "needs orders:write; the key has orders:read" in shown
    assert overview.removesuffix("overview/") + f"route/{orders.pk}/change/" in shown
