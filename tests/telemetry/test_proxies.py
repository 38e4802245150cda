"""Proxies that nobody named: told once, written now and then, never more than a hundred."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apiguard.models import UntrustedProxy
from apiguard.telemetry import proxies


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    """What reaches the buffer, of a process that has seen nothing yet."""
    found = []
    monkeypatch.setattr(proxies.buffer, "proxy", found.append)
    proxies.forget()
    yield found
    proxies.forget()


def test_an_address_is_logged_once_with_what_to_do(noted, caplog):
    for _ in range(3):
        proxies.note("10.0.0.1")
    (record,) = caplog.records
    assert "10.0.0.1" in record.getMessage()
    assert "TRUSTED_PROXIES" in record.getMessage()
    assert noted == ["10.0.0.1"]


def test_one_that_goes_on_is_written_again_but_not_logged_again(noted, caplog, monkeypatch):
    monkeypatch.setattr(proxies, "EVERY_SECONDS", 0.0)
    for _ in range(3):
        proxies.note("10.0.0.1")
    assert len(caplog.records) == 1
    assert noted == ["10.0.0.1"] * 3


def test_a_mapped_address_is_noted_as_what_it_is(noted):
    proxies.note("::ffff:10.0.0.1")
    assert noted == ["10.0.0.1"]


def test_no_more_addresses_are_noted_than_there_is_room_for(noted, caplog):
    for number in range(2 * proxies.MAX_ADDRESSES):
        proxies.note(f"10.0.{number // 200}.{number % 200}")
    assert len(noted) == len(caplog.records) == proxies.MAX_ADDRESSES


@given(st.text())
def test_no_peer_address_of_a_server_raises(text):
    proxies.note(text)
    assert len(proxies._noted) <= proxies.MAX_ADDRESSES


@pytest.mark.django_db
def test_what_the_settings_name_by_now_is_no_longer_reported():
    now = timezone.now()
    for address, at in (("10.0.0.1", now), ("172.16.0.1", now), ("10.0.0.9", now)):
        UntrustedProxy.objects.seen(address, at)
    UntrustedProxy.objects.seen("192.168.0.1", now - timedelta(days=2))
    with override_settings(APIGUARD={"TRUSTED_PROXIES": ["10.0.0.0/29"]}):
        found = proxies.untrusted_since(now - timedelta(days=1))
    assert [row.address for row in found] == ["10.0.0.9", "172.16.0.1"]
