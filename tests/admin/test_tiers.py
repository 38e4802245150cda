"""Limits are typed and read as people say them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apiguard.admin.tiers import STORE_FAILURE_EFFECTS, STORE_FAILURE_LABELS
from apiguard.models import Limit, ShadowCount, Tier

from .pages import fill_in, url


def add_limit(browser, tier, rate, **typed):
    row = {
        "tier": tier.pk,
        "name": "new",
        "rate": rate,
        "route": "",
        "mode": "enforce",
        "on_store_failure": "local",
        **typed,
    }
    fields = {f"limits-1-{name}": value for name, value in row.items()}
    return fill_in(browser, url("tier_change", tier.pk), **{"limits-TOTAL_FORMS": "2", **fields})


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        pytest.param("100 per minute", ("window", 100, 60, ""), id="window"),
        pytest.param("5 per 90 seconds", ("window", 5, 90, ""), id="odd window"),
        pytest.param("1,000/h", ("window", 1000, 3600, ""), id="short"),
        pytest.param("50000 per calendar month", ("quota", 50000, None, "month"), id="month"),
        pytest.param("7 per calendar day", ("quota", 7, None, "day"), id="day"),
        pytest.param("10000 tokens per minute", ("window", 10000, 60, "", "tokens"), id="unit"),
        pytest.param("2 at once", ("concurrent", 2, 600, ""), id="in flight"),
        pytest.param("2 at once for 1 hour", ("concurrent", 2, 3600, ""), id="in flight, longer"),
    ],
)
def test_a_rate_is_stored_as_what_it_means(admin_client, tier, text, stored):
    assert add_limit(admin_client, tier, text).status_code == 302
    limit = Limit.objects.get(name="new")
    kept = (limit.kind, limit.amount, limit.period, limit.calendar, limit.unit)
    assert kept == (*stored, "requests")[:5]
    assert limit.per == "caller"


def test_a_limit_may_count_each_route_by_itself(admin_client, tier):
    assert add_limit(admin_client, tier, "5 per minute", per="caller-route").status_code == 302
    page = admin_client.get(url("tier_changelist")).content.decode()
    assert "5 per minute, each route by itself" in page


def test_a_limit_turns_into_one_on_requests_in_flight_and_back(admin_client, tier):
    for text in ("2 at once", "10 tokens per minute", "10 per minute"):
        typed = {"limits-0-rate": text}
        assert fill_in(admin_client, url("tier_change", tier.pk), **typed).status_code == 302
        assert tier.limits.get().rate == text


def test_a_limit_may_turn_from_a_window_into_a_quota_and_back(admin_client, tier):
    for text in ("10 per calendar day", "10 per minute"):
        typed = {"limits-0-rate": text}
        assert fill_in(admin_client, url("tier_change", tier.pk), **typed).status_code == 302
        assert tier.limits.get().rate == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("lots", "100 per minute", id="not a rate"),
        pytest.param("5 per month", "calendar month", id="month"),
        pytest.param("5 per minuet", "minute", id="typo"),
        pytest.param("0 per minute", "from 1 to", id="nothing"),
        pytest.param("", "required", id="empty"),
    ],
)
def test_what_is_wrong_with_a_rate_is_reported_at_its_field(admin_client, tier, text, said):
    response = add_limit(admin_client, tier, text)
    (inline,) = response.context["inline_admin_formsets"]
    assert said in str(inline.formset.errors[1]["rate"])
    assert inline.formset.forms[1]["rate"].value() == text
    assert tier.limits.count() == 1


def test_an_unreadable_rate_leaves_the_old_one_alone(admin_client, tier):
    response = fill_in(admin_client, url("tier_change", tier.pk), **{"limits-0-rate": "lots"})
    assert response.status_code == 200
    assert tier.limits.get().rate == "60 per minute"


def test_a_new_tier_takes_its_limits_along(admin_client, db):
    response = fill_in(
        admin_client,
        url("tier_add"),
        name="Gold",
        slug="gold",
        **{
            "limits-TOTAL_FORMS": "1",
            "limits-0-name": "per-day",
            "limits-0-rate": "9 per day",
            "limits-0-mode": "shadow",
            "limits-0-on_store_failure": "closed",
        },
    )
    assert response.status_code == 302
    limit = Limit.objects.get()
    assert (limit.tier.slug, limit.rate, limit.mode) == ("gold", "9 per day", "shadow")


def test_the_same_name_twice_is_refused(admin_client, tier):
    response = add_limit(admin_client, tier, "1 per minute", name="per-minute")
    assert response.status_code == 200
    assert tier.limits.count() == 1


def test_the_list_says_limits_in_words_and_counts_clients(admin_client, acme, tier):
    Limit.objects.create(
        tier=tier, name="month", kind="quota", amount=50000, calendar="month", mode="shadow"
    )
    page = admin_client.get(url("tier_changelist")).content.decode()
    assert "per-minute: 60 per minute" in page
    assert "50,000 per calendar month (only counted)" in page
    assert f"tier__id__exact={tier.pk}" in page


def test_a_rate_is_readable_for_who_may_only_look(viewer, tier):
    assert "60 per minute" in viewer.get(url("tier_change", tier.pk)).content.decode()


@pytest.fixture
def shadow(tier):
    return Limit.objects.create(tier=tier, name="per-day", amount=9, period=86400, mode="shadow")


def shown(browser, tier):
    return browser.get(url("tier_change", tier.pk)).content.decode()


def test_a_tier_says_whom_its_shadow_limits_would_have_refused(admin_client, acme, tier, shadow):
    now = timezone.now()
    for number in range(6):
        ShadowCount.objects.add(now, shadow.pk, f"ip:192.0.2.{number}", 10 - number)
    ShadowCount.objects.add(now, shadow.pk, f"client:{acme.pk}", 2000)
    ShadowCount.objects.add(now - timedelta(days=2), shadow.pk, f"client:{acme.pk}", 5)
    text = (
        "per-day: 2,045 (Acme: 2,000; address 192.0.2.0: 10; address 192.0.2.1: 9; "
        "address 192.0.2.2: 8; address 192.0.2.3: 7)"
    )
    assert f"{text}<" in shown(admin_client, tier)
    page = admin_client.get(url("tier_changelist")).content.decode()
    assert "per-day: 2,045" in page


def test_a_shadow_limit_that_would_have_refused_nothing_says_so(admin_client, tier, shadow):
    assert "per-day: nothing" in shown(admin_client, tier)


def test_a_tier_without_shadow_limits_says_nothing_of_them(admin_client, tier):
    assert "would have refused" not in shown(admin_client, tier)
    assert "would have refused" not in admin_client.get(url("tier_add")).content.decode()


def test_who_may_only_look_sees_it_too(viewer, tier, shadow):
    assert "per-day: nothing" in shown(viewer, tier)


def test_the_list_asks_for_the_numbers_of_all_tiers_at_once(admin_client, tier, shadow):
    def look():
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url("tier_changelist"))
        return len(queries)

    look()
    before = look()
    for number in range(3):
        other = Tier.objects.create(slug=f"t{number}", name=f"T{number}")
        limit = Limit.objects.create(tier=other, name="a", amount=1, period=1, mode="shadow")
        ShadowCount.objects.add(timezone.now(), limit.pk, "client:1", 1)
    look()
    assert look() == before


@pytest.mark.parametrize(
    ("choice", "in_a_word", "said"),
    [
        pytest.param("local", "amount per process", "up to N times the amount", id="local"),
        pytest.param("open", "no bound", "any number may be admitted in excess", id="open"),
        pytest.param("closed", "503, no excess", "answered 503", id="closed"),
    ],
)
def test_each_choice_for_a_counter_that_is_away_says_what_follows(
    admin_client, tier, choice, in_a_word, said
):
    page = shown(admin_client, tier)
    assert re.search(f'<option value="{choice}"[^>]*>{choice}: {in_a_word}</option>', page)
    assert re.search(f"<dt>{choice}</dt><dd>[^<]*{said}", page)


def test_every_choice_has_its_words():
    assert list(STORE_FAILURE_LABELS) == list(STORE_FAILURE_EFFECTS) == list(Limit.OnStoreFailure)
