"""A client, its keys, and the limits that are different for it."""

from __future__ import annotations

import re

from apiguard.models import ApiKey, Limit, LimitOverride, Tier

from .desk import fill_in, url


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
