"""Limits are typed and read as people say them."""

from __future__ import annotations

import pytest

from apiguard.models import Limit

from .desk import fill_in, url


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
    ],
)
def test_a_rate_is_stored_as_what_it_means(admin_client, tier, text, stored):
    assert add_limit(admin_client, tier, text).status_code == 302
    limit = Limit.objects.get(name="new")
    assert (limit.kind, limit.amount, limit.period, limit.calendar) == stored


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
def test_what_is_wrong_with_a_rate_is_said_at_its_field(admin_client, tier, text, said):
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
