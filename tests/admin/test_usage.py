"""The page "Usage": the highest numbers, one client, one route, and a chart that a CSP permits."""

from __future__ import annotations

import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apiguard.admin.usage_chart import HEIGHT, draw
from apiguard.models import ApiKey, Client
from apiguard.models.hourly_counts import hour_of
from apiguard.models.usage import (
    LOST,
    NOBODY,
    OTHERS,
    OVERRUN,
    UsageKey,
    day_of,
    usage_rows,
)
from apiguard.telemetry.usage_report import Period, Selection, Totals, totals

from .pages import url


@pytest.fixture
def counted(acme, key, route):
    """Requests of Acme, of a busier client, of nobody, of others and of a client that is gone."""
    busy = Client.objects.create(slug="busy", name="Busy & <Co>")
    counts = {
        UsageKey(route.pk, acme.pk, key.pk, "admitted", True): 1_200,
        UsageKey(route.pk, acme.pk, key.pk, "limit_exceeded", True): 34,
        UsageKey(route.pk, busy.pk, 998, "admitted", True): 5_000,
        UsageKey(route.pk + 1, busy.pk, 998, "admitted", True): 60,
        UsageKey(route.pk, NOBODY, NOBODY, "no_credential", False): 7,
        UsageKey(route.pk, OTHERS, OTHERS, "admitted", True): 5,
        UsageKey(route.pk, 999, 999, "admitted", True): 3,
    }
    list(usage_rows().add(hour_of(timezone.now()), False, counts))
    long_ago = day_of(timezone.now() - timedelta(days=20))
    old = {UsageKey(route.pk, acme.pk, key.pk, "admitted", True): 70_000}
    list(usage_rows().add(long_ago, True, old))
    return acme


def text_of(response):
    page = response.content.decode().partition('id="content-main"')[2]
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def show(browser, **query):
    return text_of(browser.get(url("usage"), query))


def test_without_a_choice_the_highest_numbers_are_shown(admin_client, counted):
    text = show(admin_client, days="1")
    numbers = "6,309 requests, 34 refused. Routes that only observe would have refused 7."
    assert numbers in text
    most = text.partition("Clients with the most requests")[2].partition("Clients with the")[0]
    order = ["Busy &amp; &lt;Co&gt; 5,060 0 0", "Acme 1,234 34 0", "without a key 7 0 7"]
    places = [most.index(one) for one in (*order, "others, counted together 5", "is gone 3")]
    assert places == sorted(places)
    refused = text.partition("Clients with the most refusals")[2].partition("Routes with")[0]
    assert refused.index("Acme 1,234 34 0") < refused.index("without a key 7 0 7")
    assert "Busy" not in refused
    assert "a route that is gone 60" in text
    assert "limit exceeded api /api/ 34 34 0" in text


def test_of_one_client_routes_and_keys_are_shown(admin_client, counted):
    text = show(admin_client, client="acme", days="30")
    assert "71,234 requests" in text
    assert "By route" in text
    assert "laptop ag_live_" in text
    assert "Busy" not in text


def test_of_one_route_it_is_shown_who_still_calls_it(admin_client, counted):
    text = show(admin_client, route="api", days="30")
    callers = text.partition("Who still calls this route")[2].partition("Most frequent")[0]
    assert callers.index("Acme laptop ag_live_") < callers.index("Busy")
    assert "a key that is gone 5,000" in callers


def test_the_longest_time_is_as_long_as_rows_are_kept(admin_client, counted, settings):
    assert "71,234 requests" in show(admin_client, client="acme", days="90")
    settings.APIGUARD = {**settings.APIGUARD, "USAGE_KEEP_DAYS": 30}
    assert "Select a valid choice" in show(admin_client, days="90")


def test_a_client_leads_to_its_usage_and_to_its_page(admin_client, counted):
    page = admin_client.get(url("usage"), {"days": "1"}).content.decode()
    link = f"{url('usage')}?client=acme&amp;days=1"
    assert link in page
    page = admin_client.get(link.replace("&amp;", "&")).content.decode()
    assert url("client_change", counted.pk) in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"client": "nobody"}, "There is no client “nobody”."),
        ({"route": "none\x00"}, "Null characters are not allowed."),
        ({"days": "-1"}, "Select a valid choice"),
        ({"days": "x" * 3_000}, "Select a valid choice"),
    ],
)
def test_what_does_not_exist_is_reported_at_its_field(admin_client, counted, query, words):
    text = show(admin_client, **query)
    assert words in text
    assert "Requests of" not in text


def test_an_empty_time_is_a_week(admin_client, counted):
    assert show(admin_client, days="") == show(admin_client, days="7") == show(admin_client)


def test_nothing_counted_yet_says_when_numbers_come(admin_client):
    assert "about every 15 seconds" in show(admin_client)


def test_lost_numbers_and_a_count_that_is_off_are_reported(admin_client, settings):
    lost = {UsageKey(NOBODY, NOBODY, NOBODY, LOST, True): 1_234}
    list(usage_rows().add(hour_of(timezone.now()), False, lost))
    assert "1,234 requests of all clients and routes could not be recorded" in show(admin_client)
    settings.APIGUARD = {**settings.APIGUARD, "USAGE_KEEP_DAYS": 0}
    assert "the setting USAGE_KEEP_DAYS is 0" in show(admin_client)


def test_requests_that_used_more_than_they_had_reserved_are_reported_and_counted_once(
    admin_client, acme
):
    overruns = {UsageKey(3, acme.pk, NOBODY, OVERRUN, True): 17}
    list(usage_rows().add(hour_of(timezone.now()), False, overruns))
    page = show(admin_client)
    assert "17 requests used more of a unit" in page
    assert Selection.of_days(1).overruns() == 17
    assert totals(Selection.of_days(1)).requests == 0


def test_keys_that_nobody_has_used_are_counted_and_listed(admin_client, acme, key):
    other = Client.objects.create(slug="other", name="Other")
    for name, days in (("a", 40), ("b", 100)):
        made, _ = ApiKey.objects.issue(other, name)
        long_ago = timezone.now() - timedelta(days=days)
        ApiKey.objects.filter(pk=made.pk).update(created_at=long_ago)
    assert "for 30 days: 2 , for 90 days: 1" in show(admin_client)
    assert "for 30 days: 0 , for 90 days: 0" in show(admin_client, client="acme")
    page = admin_client.get(url("usage"), {"client": "other"}).content.decode()
    (link,) = re.findall(r'href="([^"]*unused=90)"', page)
    listed = admin_client.get(link.replace("&amp;", "&")).context["cl"].result_list
    assert [row.name for row in listed] == ["b"]


def test_hours_are_those_of_the_readers_time_zone(admin_client, counted):
    now = timezone.now()
    with override_settings(TIME_ZONE="Asia/Kathmandu"), timezone.override("Asia/Kathmandu"):
        text = show(admin_client, days="1")
        local = timezone.localtime(hour_of(now))
    assert "time zone Asia/Kathmandu" in text
    assert f"{local:%H:45} 6,309" in text


def test_the_number_of_queries_is_bounded(admin_client, counted, django_assert_max_num_queries):
    for number in range(60):
        client = Client.objects.create(slug=f"c{number}", name=f"C{number}")
        counts = {UsageKey(1, client.pk, 1, "admitted", True): number + 1}
        list(usage_rows().add(hour_of(timezone.now()), False, counts))
    admin_client.get(url("usage"))  # Reads the policy.
    with django_assert_max_num_queries(15):
        admin_client.get(url("usage"))


def test_the_page_takes_a_permission_of_its_own(staff, client, counted):
    assert client.get(url("usage")).status_code == 302
    browser = staff("view_client", "view_route")
    assert browser.get(url("usage")).status_code == 403
    assert url("usage") not in browser.get("/admin/apiguard/").content.decode()
    browser = staff("view_client", "view_usage", name="another")
    assert url("usage") in browser.get("/admin/apiguard/").content.decode()


def test_who_may_view_usage_alone_gets_no_links_to_rows(staff, counted):
    browser = staff("view_usage")
    page = browser.get(url("usage"), {"client": "acme"}).content.decode()
    for name in ("client_change", "apikey_change"):
        assert url(name, counted.pk) not in page
    assert "Live keys" not in page


def test_a_route_leads_to_who_calls_it(admin_client, staff, route):
    link = f"{url('usage')}?route=api&amp;days=30"
    assert link in admin_client.get(url("route_change", route.pk)).content.decode()
    assert link not in staff("view_route").get(url("route_change", route.pk)).content.decode()


def test_nothing_on_the_page_needs_an_inline_style_or_script(admin_client, counted):
    page = admin_client.get(url("usage")).content.decode().partition('id="content-main"')[2]
    page = page.partition("</main>")[0]
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page)


# -- the chart ----------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_chart_is_well_formed_in_every_language(admin_client, counted, language):
    page = admin_client.get(url("usage"), headers={"accept-language": language}).content.decode()
    (svg,) = re.findall(r'<svg viewBox="0 0 \d+ 100".*?</svg>', page, re.DOTALL)
    picture = ET.fromstring(svg)  # noqa: S314 - our own page
    bars = picture.findall(".//rect")
    assert bars
    for bar in bars:
        assert all(float(bar.attrib[name]) >= 0 for name in ("x", "y", "width", "height"))


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=40))
def test_no_bar_leaves_the_chart_and_none_that_counts_is_invisible(numbers):
    start = hour_of(timezone.now())
    periods = [Period(start, Totals(max(one), min(one), 0)) for one in numbers]
    chart = draw(periods, "H:i")
    for bar, period in zip(chart.bars, periods, strict=True):
        assert 0 <= bar.refused_height <= bar.height <= HEIGHT
        assert abs(bar.y + bar.height - HEIGHT) < 0.11
        assert (bar.height > 0) is (period.totals.requests > 0)
        assert (bar.refused_height > 0) is (period.totals.refused > 0)


def test_units_that_views_settled_are_shown_by_day_client_and_route(admin_client, counted, route):
    assert "Units that views settled" not in show(admin_client)
    used = UsageKey(route.pk, counted.pk, 1, "settled:tokens", True)
    list(usage_rows().add(hour_of(timezone.now()), False, {used: 1_812}))
    for query in ({}, {"client": "acme"}, {"route": "api"}):
        text = show(admin_client, **query).partition("Units that views settled, by day")[2]
        assert "Acme api tokens 1,812" in text
    assert "settled:" not in show(admin_client)
