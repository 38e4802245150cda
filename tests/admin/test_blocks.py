"""Blocking an address takes one screen, and never the person's own address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import BlockedNetwork, PolicyChange

from .pages import errors_of, fill_in, url

ADD = "blockednetwork_add"


def test_an_address_is_blocked_on_one_screen(admin_client):
    response = fill_in(admin_client, url(ADD), network="192.0.2.7", reason="a flood")
    assert response.status_code == 302
    row = BlockedNetwork.objects.get()
    assert (row.network, row.reason) == ("192.0.2.7/32", "a flood")
    # Unless somebody says otherwise, it ends by itself.
    assert timedelta(hours=23) < row.until - timezone.now() <= timedelta(hours=24)
    assert PolicyChange.objects.get().actor_name == "admin"


def test_another_page_may_fill_the_form_in(admin_client):
    page = admin_client.get(url(ADD), {"network": "192.0.2.7"}).content.decode()
    assert 'value="192.0.2.7"' in page


@pytest.mark.parametrize("network", ["127.0.0.1", "127.0.0.0/8"])
def test_nobody_blocks_their_own_address(admin_client, network):
    response = fill_in(admin_client, url(ADD), network=network, reason="oops")
    assert "127.0.0.1 is your own address" in errors_of(response)
    assert not BlockedNetwork.objects.exists()


def test_nor_the_address_that_a_trusted_proxy_names(admin_client, settings):
    settings.APIGUARD = {**settings.APIGUARD, "TRUSTED_PROXIES": ["127.0.0.1"]}
    typed = {"network": "198.51.100.0/24", "reason": "oops", "until_0": "", "until_1": ""}
    response = admin_client.post(url(ADD), typed, headers={"X-Forwarded-For": "198.51.100.9"})
    assert "198.51.100.9 is your own address" in errors_of(response)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ({"network": "192.0.2.7/24"}, "192.0.2.0/24"),
        ({"network": "0.0.0.0/0"}, "blocks everybody"),
        ({"network": "192.0.2.7", "reason": ""}, "This field is required"),
        ({"network": "192.0.2.7", "until_0": "2020-01-01"}, "This time has passed"),
        ({"network": ""}, "This field is required"),
    ],
)
def test_a_mistake_is_explained_at_the_form(admin_client, typed, text):
    response = fill_in(admin_client, url(ADD), **{"reason": "a flood", **typed})
    assert text in errors_of(response)


def test_the_list_says_which_blocks_have_ended(admin_client):
    past = timezone.now() - timedelta(minutes=1)
    BlockedNetwork.objects.create(network="192.0.2.1", until=past, reason="x")
    BlockedNetwork.objects.create(network="192.0.2.2", reason="x")
    page = admin_client.get(url("blockednetwork_changelist")).content.decode()
    assert page.index("ended") < page.index("in force", page.index("192.0.2.1"))


def test_one_permission_blocks_changes_and_unblocks(staff):
    browser = staff("block_network")
    assert fill_in(browser, url(ADD), network="192.0.2.7", reason="x").status_code == 302
    row = BlockedNetwork.objects.get()
    change = url("blockednetwork_change", row.pk)
    assert fill_in(browser, change, until_0="", until_1="").status_code == 302
    delete = browser.post(url("blockednetwork_delete", row.pk), {"post": "yes"})
    assert delete.status_code == 302
    assert not BlockedNetwork.objects.exists()


def test_who_may_only_view_changes_nothing(viewer):
    row = BlockedNetwork.objects.create(network="192.0.2.7", reason="x")
    assert viewer.get(url("blockednetwork_change", row.pk)).status_code == 200
    assert viewer.get(url(ADD)).status_code == 403
    assert viewer.post(url("blockednetwork_delete", row.pk), {"post": "yes"}).status_code == 403
