"""Lists of keys by what they can do and how they are used."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import ApiKey, Client

from ..pages import url

DAY = timedelta(days=1)


def names(browser, **filters):
    page = browser.get(url("apikey_changelist"), filters)
    return [key.name for key in page.context["cl"].result_list]


@pytest.fixture
def keys(acme):
    """One key of every state, named so."""
    now, other = timezone.now(), Client.objects.create(slug="off", name="Off", enabled=False)
    issue = ApiKey.objects.issue
    issue(acme, "valid")
    issue(acme, "ending soon", expires_at=now + 3 * DAY)
    issue(acme, "expired", expires_at=now - DAY)
    issue(acme, "not yet valid", not_before=now + DAY)
    issue(acme, "revoked")[0].revoke("lost")
    issue(other, "client disabled")
    gone = issue(acme, "pepper gone")[0]
    ApiKey.objects.filter(pk=gone.pk).update(pepper_id="gone")


@pytest.mark.parametrize(
    "state",
    ["ending soon", "expired", "not yet valid", "revoked", "client disabled", "pepper gone"],
)
def test_the_list_filters_by_state(admin_client, keys, state):
    assert names(admin_client, state=state) == [state]


def test_what_ends_soon_is_valid_still(admin_client, keys):
    assert set(names(admin_client, state="valid")) == {"valid", "ending soon"}
    assert len(names(admin_client, state="nonsense")) == 7


def test_every_key_wears_its_state_and_those_that_end_soon_say_when(admin_client, keys):
    page = admin_client.get(url("apikey_changelist")).content.decode()
    for state in ("valid", "expired", "not yet valid", "revoked", "client disabled", "pepper gone"):
        assert f">{state}</span>" in page
    assert page.count(">ends in 2") == 1


@pytest.mark.parametrize(
    ("made", "used", "found"),
    [
        pytest.param(100, None, {"never", "30", "90"}, id="never"),
        pytest.param(0, None, {"never"}, id="new"),
        pytest.param(100, 40, {"30"}, id="long ago"),
        pytest.param(100, 0, set(), id="today"),
    ],
)
def test_the_list_shows_keys_that_nobody_uses(admin_client, key, made, used, found):
    now = timezone.now()
    last = None if used is None else now - used * DAY
    ApiKey.objects.update(created_at=now - made * DAY, last_used_at=last)
    assert {which for which in ("never", "30", "90") if names(admin_client, unused=which)} == found
    assert names(admin_client, unused="nonsense") == ["laptop"]
