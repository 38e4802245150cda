"""The list of routes answers: what is enforced where, and what did it refuse?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import HourlyCount, Limit, Route

from .pages import fields_of, url


def list_of(browser, **query):
    return browser.get(url("route_changelist"), query)


@pytest.mark.parametrize(
    "words",
    [
        "/api/",
        "observe",
        "credentials",
        "+\u00a0orders:read",
        "browsers",
        "secure",
        "60 per minute",
        "methods GET, POST",
        "takes application/json",
        "at most 1 MiB",
    ],
)
def test_the_list_says_what_is_enforced(admin_client, route, words):
    assert words in list_of(admin_client).content.decode()


def test_a_limit_of_another_route_is_not_shown(admin_client, route, tier):
    other = Route.objects.create(name="other", path_prefix="/other/")
    Limit.objects.create(tier=tier, name="there", amount=77, period=60, route=other)
    Limit.objects.create(tier=tier, name="here", amount=88, period=60, route=route)
    page = list_of(admin_client, q="api").content.decode()
    assert "88 per minute" in page
    assert "77 per minute" not in page


def test_refusals_of_a_day_are_summed_by_route(admin_client, route):
    now = timezone.now()
    for hours, outcome, enforced, count in (
        (0, "foreign_origin", False, 3),
        (5, "limit_exceeded", False, 4),
        (5, "limit_exceeded", True, 11),
        (30, "limit_exceeded", False, 1000),
    ):
        HourlyCount.objects.add(now - timedelta(hours=hours), route.pk, outcome, enforced, count)
    HourlyCount.objects.add(now, route.pk + 1, "foreign_origin", False, 500)
    (row,) = list_of(admin_client).context["cl"].result_list
    assert (row.would_refuse_count, row.refused_count) == (7, 11)


def test_a_broken_route_is_marked_with_the_reason(admin_client, route):
    Route.objects.filter(pk=route.pk).update(methods=["get"])
    page = list_of(admin_client)
    (row,) = page.context["cl"].result_list
    assert [problem.field for problem in row.apiguard_problems] == ["methods"]
    assert str(row.apiguard_problems[0].reason) in page.content.decode().replace("&#x27;", "'")


def test_a_route_is_marked_when_its_tier_is_broken(admin_client, route, tier):
    Limit.objects.filter(tier=tier).update(amount=10**10)
    (row,) = list_of(admin_client).context["cl"].result_list
    assert [problem.code for problem in row.apiguard_problems] == ["broken_tier"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"mode__exact": "observe"}, 1),
        ({"mode__exact": "enforce"}, 0),
        ({"access__exact": "credentials"}, 1),
        ({"q": "/api"}, 1),
        ({"q": "nothing"}, 0),
    ],
)
def test_routes_are_filtered_and_searched(admin_client, route, query, found):
    assert len(list_of(admin_client, **query).context["cl"].result_list) == found


@pytest.mark.parametrize(
    ("size", "warned"), [pytest.param(10_000_000, True, id="more"), (2_000_000, False)]
)
def test_a_body_larger_than_django_accepts_is_saved_with_a_warning(
    admin_client, route, size, warned
):
    address = url("route_change", route.pk)
    fields = fields_of(admin_client.get(address).content.decode())
    page = admin_client.post(address, {**fields, "max_body_bytes": size}, follow=True)
    assert Route.objects.get().max_body_bytes == size
    assert ("DATA_UPLOAD_MAX_MEMORY_SIZE" in page.content.decode()) is warned
