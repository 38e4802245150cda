"""A client, its keys, and the limits that are different for it."""

from __future__ import annotations

import re

import pytest

from apiguard.models import ApiKey, Client, Limit, LimitOverride, Tier

from .pages import fill_in, url


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
    response = fill_in(admin_client, address, name="Shop", slug="shop", _make_key="1")
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
    sent = fill_in(browser, url("client_add"), name="Shop", slug="shop", _make_key="1")
    assert ("apikey" in sent["Location"]) is offered
    assert 'name="_make_key"' not in browser.get(url("client_add") + "?_popup=1").content.decode()
