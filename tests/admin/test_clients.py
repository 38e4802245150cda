"""A client, its keys, and the limits that are different for it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.test import Client as Browser
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard import conf
from apiguard.admin.overrides import DurationField
from apiguard.concurrency import TimedOut
from apiguard.counters.base import LimitCheck
from apiguard.models import ApiKey, Client, Limit, LimitOverride, PolicyChange, Route, Tier
from apiguard.models.hourly_counts import hour_of
from apiguard.models.usage import UsageKey, usage_rows
from apiguard.policy.holder import holder
from apiguard.request import limit_use
from apiguard.request.effects import limit_counter
from apiguard.testing import reset_counters

from .pages import errors_of, fill_in, url


def choices(browser, client) -> set[str]:
    page = browser.get(url("client_change", client.pk)).content.decode()
    select = re.search(r'<select name="overrides-__prefix__-limit".*?</select>', page, re.DOTALL)
    assert select is not None
    return set(re.findall(r"<option value=\"[^\"]+\"[^>]*>([^<]+)</option>", select[0]))


def test_only_limits_of_the_clients_tier_are_offered_with_their_rate(admin_client, acme):
    other = Tier.objects.create(slug="gold", name="Gold")
    Limit.objects.create(tier=other, name="per-minute", amount=9, period=60)
    assert choices(admin_client, acme) == {"Free: per-minute (60 per minute)"}


def test_an_override_survives_a_change_of_tier(admin_client, acme, tier):
    LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=5, reason="abuse")
    gold = Tier.objects.create(slug="gold", name="Gold")
    assert fill_in(admin_client, url("client_change", acme.pk), tier=gold.pk).status_code == 302
    assert fill_in(admin_client, url("client_change", acme.pk), name="ACME").status_code == 302
    assert acme.overrides.get().amount == 5


def test_an_override_is_added_in_the_clients_form(admin_client, acme, tier):
    response = fill_in(
        admin_client,
        url("client_change", acme.pk),
        **{
            "overrides-TOTAL_FORMS": "1",
            "overrides-0-client": acme.pk,
            "overrides-0-limit": tier.limits.get().pk,
            "overrides-0-amount": "600",
            "overrides-0-until_lasts": "for_good",
            "overrides-0-reason": "launch day",
        },
    )
    assert response.status_code == 302
    assert acme.overrides.get().amount == 600


def test_the_list_counts_keys_that_are_not_revoked_and_leads_to_them(admin_client, acme, key):
    ApiKey.objects.issue(acme, "old")[0].revoke("old")
    page = admin_client.get(url("client_changelist"))
    (row,) = page.context["cl"].result_list
    assert row.keys_total == 1
    link = f"{url('apikey_changelist')}?client__id__exact={acme.pk}"
    assert link in page.content.decode()
    assert len(admin_client.get(link).context["cl"].result_list) == 2


def test_making_a_key_starts_from_its_client(admin_client, acme):
    link = f"{url('apikey_add')}?client={acme.pk}"
    assert link in admin_client.get(url("client_change", acme.pk)).content.decode()
    assert f'<option value="{acme.pk}" selected>Acme' in admin_client.get(link).content.decode()


@pytest.mark.parametrize("known", [False, True], ids=["a new client", "a client that is there"])
def test_a_client_is_saved_and_its_key_is_made_next(admin_client, acme, known):
    address = url("client_change", acme.pk) if known else url("client_add")
    typed = {"name": "Shop", "slug": "shop", "tier": acme.tier_id, "_make_key": "1"}
    response = fill_in(admin_client, address, **typed)
    shop = Client.objects.get(slug="shop")
    assert response["Location"] == f"{url('apikey_add')}?client={shop.pk}"
    page = admin_client.get(response["Location"]).content.decode()
    assert f'<option value="{shop.pk}" selected>Shop' in page
    assert "was saved. Create its key now." in page


def test_a_client_with_an_error_leads_to_no_key(admin_client):
    response = fill_in(admin_client, url("client_add"), name="", slug="shop", _make_key="1")
    assert (response.status_code, Client.objects.count()) == (200, 0)


@pytest.mark.parametrize(
    ("permissions", "offered"),
    [(("add_client",), False), (("add_client", "add_apikey", "view_client"), True)],
)
def test_a_key_is_offered_to_whoever_may_make_one(staff, permissions, offered):
    browser = staff(*permissions)
    page = browser.get(url("client_add")).content.decode()
    assert ('name="_make_key"' in page) is offered
    typed = {"name": "Shop", "slug": "shop", "tier": "none", "_make_key": "1"}
    sent = fill_in(browser, url("client_add"), **typed)
    assert ("apikey" in sent["Location"]) is offered
    assert 'name="_make_key"' not in browser.get(url("client_add") + "?_popup=1").content.decode()


# -- not limited is a choice ----------------------------------------------------------


def test_an_empty_tier_is_an_error_and_not_limited_is_chosen(admin_client):
    refused = fill_in(admin_client, url("client_add"), name="Shop", slug="shop")
    assert "Choose a tier, or “Not limited”." in errors_of(refused)
    fill_in(admin_client, url("client_add"), name="Shop", slug="shop", tier="none")
    assert Client.objects.get(slug="shop").tier is None


def test_a_client_that_is_not_limited_says_so_and_stays_so(admin_client, acme):
    Client.objects.filter(pk=acme.pk).update(tier=None)
    page = admin_client.get(url("client_change", acme.pk)).content.decode()
    assert '<option value="none" selected>Not limited</option>' in page
    assert "Not limited: the client has no tier." in page
    assert fill_in(admin_client, url("client_change", acme.pk), name="ACME").status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.tier) == ("ACME", None)


# -- how long an override lasts -------------------------------------------------------


def override(client, limit, **typed):
    return {
        "overrides-TOTAL_FORMS": "1",
        "overrides-0-limit": limit.pk,
        "overrides-0-amount": "600",
        **{f"overrides-0-{name}": value for name, value in typed.items()},
    }


@pytest.mark.parametrize(
    ("typed", "hours"),
    [
        pytest.param({"until_lasts": "day"}, 24, id="1 day"),
        pytest.param({"until_lasts": "week"}, 168, id="1 week"),
        pytest.param({"until_lasts": "for_good"}, None, id="for good"),
    ],
)
def test_an_override_lasts_a_day_a_week_or_for_good(admin_client, acme, tier, typed, hours):
    data = override(acme, tier.limits.get(), **typed)
    assert fill_in(admin_client, url("client_change", acme.pk), **data).status_code == 302
    until = acme.overrides.get().until
    if hours is None:
        assert until is None
    else:
        assert abs(until - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        pytest.param("2999-12-31", "2999-12-31 23:59:59", id="a date alone: all of that day"),
        pytest.param("2999-12-31 18:00", "2999-12-31 18:00:00", id="a time"),
        pytest.param("2999-12-31T18:00:00Z", "2999-12-31 18:00:00", id="with a time zone"),
    ],
)
@pytest.mark.parametrize("lasts", ["until", ""], ids=["chosen", "only typed"])
def test_an_override_lasts_until_a_date(admin_client, acme, tier, text, until, lasts):
    data = override(acme, tier.limits.get(), until_lasts=lasts, until_date=text)
    assert fill_in(admin_client, url("client_change", acme.pk), **data).status_code == 302
    assert f"{acme.overrides.get().until:%Y-%m-%d %H:%M:%S}" == until
    # Saved once more unchanged, it stays as it is.
    assert fill_in(admin_client, url("client_change", acme.pk), name="ACME").status_code == 302
    assert f"{acme.overrides.get().until:%Y-%m-%d %H:%M:%S}" == until


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({}, "Choose how long the override lasts."),
        ({"until_lasts": "until"}, "Write a date such as 2026-12-31"),
        ({"until_lasts": "until", "until_date": "tomorrow"}, "Write a date such as"),
        ({"until_lasts": "until", "until_date": "2026-13-01"}, "Write a date such as"),
        ({"until_lasts": "until", "until_date": "2001-01-01"}, "This time has passed"),
        ({"until_lasts": "until", "until_date": "0001-01-01T00:00:00+14:00"}, "This time has"),
        ({"until_lasts": "year"}, "Select a valid choice"),
        ({"until_lasts": "for_good", "until_date": "2999-01-01"}, "Choose “Until the date”"),
    ],
)
def test_an_override_without_an_end_that_makes_sense_is_refused(
    admin_client, acme, tier, typed, error
):
    data = override(acme, tier.limits.get(), **typed)
    assert error in errors_of(fill_in(admin_client, url("client_change", acme.pk), **data))


@settings(
    max_examples=int(os.environ.get("APIGUARD_EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(max_size=45) | st.datetimes().map(str) | st.dates().map(str))
def test_whatever_is_typed_as_a_date_is_a_time_or_an_error(text):
    field = DurationField()
    with suppress(ValidationError):
        assert isinstance(field.clean(["until", text]), datetime)


def test_the_old_date_may_stand_beside_a_new_duration(admin_client, acme, tier):
    until = timezone.now() + timedelta(days=1)
    LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=5, until=until)
    typed = {"overrides-0-until_lasts": "for_good"}
    assert fill_in(admin_client, url("client_change", acme.pk), **typed).status_code == 302
    assert acme.overrides.get().until is None


def test_an_override_can_be_added_without_scripts(admin_client, acme):
    page = admin_client.get(url("client_change", acme.pk)).content.decode()
    assert 'name="overrides-0-amount"' in page


def test_an_expired_override_stays_and_is_marked(admin_client, acme, tier):
    LimitOverride.objects.create(
        client=acme, limit=tier.limits.get(), amount=5, until=timezone.now() - timedelta(days=1)
    )
    page = admin_client.get(url("client_change", acme.pk)).content.decode()
    assert page.count("expired") == 2  # Beside the limit, and in the form.
    assert fill_in(admin_client, url("client_change", acme.pk), name="ACME").status_code == 302


# -- overrides while adding -------------------------------------------------------------


def test_an_override_is_given_while_the_client_is_added(admin_client, tier):
    data = override(None, tier.limits.get(), until_lasts="week")
    typed = {"name": "Shop", "slug": "shop", "tier": tier.pk, **data}
    assert fill_in(admin_client, url("client_add"), **typed).status_code == 302
    assert Client.objects.get(slug="shop").overrides.get().amount == 600


@pytest.mark.parametrize("chosen", ["another tier", "none"])
def test_an_override_of_a_limit_that_the_chosen_tier_lacks_is_refused(admin_client, tier, chosen):
    gold = Tier.objects.create(slug="gold", name="Gold")
    data = override(None, tier.limits.get(), until_lasts="week")
    typed = {"name": "Shop", "slug": "shop", "tier": "none" if chosen == "none" else gold.pk}
    refused = fill_in(admin_client, url("client_add"), **typed, **data)
    assert "does not have this limit" in errors_of(refused)


# -- what the page answers ----------------------------------------------------------------


def section(browser, client):
    page = browser.get(url("client_change", client.pk)).content.decode()
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition('id="client_form"')[0]).split())


def use(client, units):
    snapshot = holder.snapshot()
    check = LimitCheck(f"client:{client.pk}", snapshot.tiers[client.tier_id].all_limits, units)
    limit_counter(conf.current()).check(snapshot, check)


@pytest.fixture
def fresh_counters():
    reset_counters()
    yield
    reset_counters()


def test_the_page_shows_limits_with_what_is_used_keys_and_the_last_day(
    admin_client, acme, tier, key, fresh_counters
):
    LimitOverride.objects.create(client=acme, limit=tier.limits.get(), amount=80)
    use(acme, 33)
    ApiKey.objects.filter(pk=key.pk).update(allowed_networks=["192.0.2.0/24"])
    counts = {
        UsageKey(1, acme.pk, key.pk, "admitted", True): 1_200,
        UsageKey(1, acme.pk, key.pk, "limit_exceeded", True): 34,
        UsageKey(1, 0, 0, "no_credential", True): 99,
    }
    list(usage_rows().add(hour_of(timezone.now()), False, counts))
    text = section(admin_client, acme)
    assert "enabled Tier Free" in text
    assert "per-minute 60 per minute 80 per minute override, for good 33 47" in text
    assert "laptop ag_live_" in text
    assert "valid orders:read 192.0.2.0/24 never" in text
    assert "last 24 hours: 1,234 , refused: 34 . Reasons: limit exceeded (34)." in text


def test_tokens_requests_in_flight_and_the_busiest_route_are_shown_and_reset(
    admin_client, acme, tier, fresh_counters
):
    routes = [
        Route.objects.create(name=name, path_prefix=f"/{name}/", access="public")
        for name in ("orders", "complete")
    ]
    fields = {"tier": tier, "amount": 1000, "period": 60}
    tokens = Limit.objects.create(name="tokens", unit="tokens", per="caller-route", **fields)
    Limit.objects.create(name="at-once", kind="concurrent", tier=tier, amount=2, period=600)
    snapshot = holder.snapshot()
    counted = limit_use.on_each_route(snapshot.tiers[tier.pk], snapshot)
    units = {("tokens", routes[0].pk): 7, ("tokens", routes[1].pk): 600, ("at-once", None): 1}
    costs = tuple(units.get((limit.name, limit.route_pk), 0) for limit in counted)
    check = LimitCheck(f"client:{acme.pk}", counted, 1, costs=costs)
    limit_counter(conf.current()).check(snapshot, check)
    text = section(admin_client, acme)
    assert "600 tokens the highest, on complete; what running requests reserve included 400" in text
    assert "at-once 2 at once 2 at once 1 in flight 1" in text
    admin_client.post(url("client_reset", acme.pk), {"limit": tokens.pk})
    assert "0 tokens 1,000" in section(admin_client, acme)


def test_a_disabled_client_is_named_first(admin_client, acme):
    Client.objects.filter(pk=acme.pk).update(enabled=False)
    assert "disabled" in section(admin_client, acme)
    assert "Every key of this client is refused" in section(admin_client, acme)


def test_the_page_counts_nothing_and_asks_a_bounded_number_of_queries(
    admin_client, acme, tier, fresh_counters, django_assert_max_num_queries
):
    for number in range(30):
        ApiKey.objects.issue(acme, f"k{number}")
        Limit.objects.create(tier=tier, name=f"l{number}", amount=60, period=60)
    use(acme, 3)
    with django_assert_max_num_queries(25):
        text = section(admin_client, acme)
    assert "there are more" in text
    assert section(admin_client, acme).count(" 3 57 ") == 31


@pytest.fixture
def redis_away():
    nowhere = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": locmem, "apiguard": nowhere}):
        reset_counters()
        yield
    reset_counters()


def test_while_redis_is_away_the_page_says_so_and_loads(admin_client, acme, redis_away):
    text = section(admin_client, acme)
    assert "does not answer (Redis: ConnectionError)" in text
    assert "per-minute 60 per minute 60 per minute ? ?" in text
    assert "Reset this one" not in text


def test_a_redis_that_hangs_costs_the_page_a_bounded_time(admin_client, acme, monkeypatch):
    def hang(*_):
        raise TimedOut

    monkeypatch.setattr(limit_use._threads, "call", hang)
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": locmem, "apiguard": locmem}):
        assert "does not answer (Redis: Timeout)" in section(admin_client, acme)


def test_a_limit_is_reset_and_the_history_knows_who_did_it(
    admin_client, acme, tier, fresh_counters
):
    limit = tier.limits.get()
    use(acme, 33)
    page = admin_client.get(url("client_change", acme.pk)).content.decode()
    assert 'max="60" high="48" optimum="0" value="33"' in page
    sent = {"limit": limit.pk, "change_reason": "their loop is mended"}
    response = admin_client.post(url("client_reset", acme.pk), sent, follow=True)
    assert "“per-minute” of “Acme” counts from zero." in response.content.decode()
    assert "per-minute 60 per minute 60 per minute 0 60" in section(admin_client, acme)
    change = PolicyChange.objects.first()
    assert (change.action, change.actor_name) == ("reset", "admin")
    assert change.reason == "their loop is mended"
    assert (change.object_name, change.after) == ("Acme", {"limits": ["per-minute"]})
    assert LogEntry.objects.get().object_id == str(acme.pk)


def test_while_redis_is_away_nothing_is_reset_and_nothing_recorded(
    admin_client, acme, tier, redis_away
):
    sent = {"limit": tier.limits.get().pk}
    response = admin_client.post(url("client_reset", acme.pk), sent, follow=True)
    assert "was not reset: Redis: ConnectionError. Try again" in response.content.decode()
    assert not PolicyChange.objects.filter(action="reset").exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("limit", ["", "x", "999", "-1", "9" * 40])
def test_a_limit_that_is_not_there_is_not_found(admin_client, acme, limit):
    assert admin_client.post(url("client_reset", acme.pk), {"limit": limit}).status_code == 404


def test_a_reset_is_a_post_with_a_permission_of_its_own(staff, admin_client, acme, tier):
    address, sent = url("client_reset", acme.pk), {"limit": tier.limits.get().pk}
    assert admin_client.get(address).status_code == 405
    assert Browser(enforce_csrf_checks=True).post(address, sent).status_code in (302, 403)
    browser = staff("view_client", "change_client")
    assert browser.post(address, sent).status_code == 403
    assert "Reset this one" not in section(browser, acme)
    assert not PolicyChange.objects.filter(action="reset").exists()


def test_who_may_view_less_sees_less(staff, acme, key):
    text = section(staff("view_client"), acme)
    assert "per-minute" in text
    for hidden in ("laptop", "last 24 hours", "Explain", "Its usage"):
        assert hidden not in text
