"""Bad credentials are counted by address, and whoever shares it is not locked out."""

from __future__ import annotations

from apiguard import conf
from apiguard.request import failed_credentials
from apiguard.request.failed_credentials import FailedCredentials
from apiguard.rules.rates import Rate
from tests.request.site import settings_of


def counted(amount=2):
    return FailedCredentials(Rate(amount, 3600))


def test_beyond_the_limit_there_is_a_wait():
    these = counted()
    assert [these.count("ip:a") is None for _ in range(3)] == [True, True, False]
    assert 3000 <= these.count("ip:a") <= 3600


def test_addresses_are_counted_apart():
    these = counted(1)
    assert these.count("ip:a") is None
    assert these.count("ip:b") is None


def test_within_the_limit_every_look_up_may_be_made():
    these = counted()
    assert all(these.claim_look_up("ip:a") for _ in range(10))


def test_beyond_the_limit_look_ups_are_a_second_apart(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(failed_credentials.time, "monotonic", lambda: now[0])
    these = counted(1)
    these.count("ip:a")
    allowed = []
    for moment in (100.0, 100.5, 100.9, 101.1, 101.2):
        now[0] = moment
        allowed.append(these.claim_look_up("ip:a"))
    assert allowed == [True, False, False, True, False]
    assert these.claim_look_up("ip:b")


def test_what_is_remembered_of_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(failed_credentials, "MAX_ADDRESSES", 3)
    these = counted(1)
    for number in range(20):
        these.count(f"ip:{number}")
        assert these.claim_look_up(f"ip:{number}")
        assert not these.claim_look_up(f"ip:{number}")
    assert len(these._looked_up) <= 6
    assert len(these._counter) <= 3


def test_nothing_is_counted_where_it_is_switched_off():
    off, _ = conf.parse(settings_of(FAILED_CREDENTIALS_LIMIT=None), {})
    on, _ = conf.parse(settings_of(), {})
    assert failed_credentials.failures(off) is None
    assert failed_credentials.failures(on) is failed_credentials.failures(on)
