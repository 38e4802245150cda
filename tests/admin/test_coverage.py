"""The page "Coverage", and what a route's form says of its prefix."""

from __future__ import annotations

import pytest

from apiguard.models import Route

from .pages import url


def test_the_page_lists_unguarded_patterns_first_with_the_way_to_each_route(admin_client, route):
    page = admin_client.get(url("coverage"))
    rows = page.context["rows"]
    assert rows[0]["text"] == "/health"
    assert rows[1]["folded"] > 20
    (order,) = [row for row in rows if row["text"] == "/api/orders/<int:pk>"]
    assert order["route"]["url"] == url("route_change", route.pk)
    text = page.content.decode()
    assert text.index("/health") < text.index("/api/orders/")
    assert "<style" not in text
    assert " style=" not in text


def test_who_may_not_see_routes_does_not_see_it(staff):
    assert staff("view_client").get(url("coverage")).status_code == 403


@pytest.mark.parametrize("way", ["/admin/apiguard/", "/admin/apiguard/overview/"])
def test_the_index_and_the_overview_lead_to_it(viewer, way):
    assert url("coverage") in viewer.get(way).content.decode()


def test_it_takes_as_many_queries_for_any_number_of_routes(
    admin_client, route, django_assert_max_num_queries
):
    Route.objects.bulk_create(
        [Route(name=f"r{n}", path_prefix=f"/api/{n}/", access="public") for n in range(50)]
    )
    admin_client.get(url("coverage"))  # Reads policy.
    with django_assert_max_num_queries(4):  # The session and the user are two.
        admin_client.get(url("coverage"))


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("/api/orders/", "2 URL patterns: /api/orders, /api/orders/&lt;int:pk&gt;."),
        ("/api/export/", "1 URL pattern: /api/export."),
        ("/shop/api/", "0 URL patterns: the route guards nothing."),
        ("/static/", "0 URL patterns; the prefix is that of static or uploaded files."),
    ],
)
def test_the_form_of_a_route_says_how_many_patterns_it_covers(admin_client, prefix, said):
    row = Route.objects.create(name="orders", path_prefix=prefix, access="public")
    page = admin_client.get(url("route_change", row.pk)).content.decode()
    assert said in page


def test_the_form_names_longer_prefixes(admin_client, route):
    Route.objects.create(name="export", path_prefix="/api/export/")
    page = admin_client.get(url("route_change", route.pk)).content.decode()
    assert "Longer prefixes decide for the paths below them: /api/export/." in page
