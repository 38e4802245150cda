"""Keys are announced once, 14 days before they end."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import ApiKey, Client, PeriodicTask, PolicyState
from apiguard.signals import key_expiring
from apiguard.telemetry.background_signals import BackgroundSignals
from apiguard.telemetry.expiring_keys import ExpiringKeys

pytestmark = pytest.mark.django_db


def issue(name, *, ends_in, made_ago=100):
    now = timezone.now()
    client, _ = Client.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
    key, _ = ApiKey.objects.issue(
        client, name, expires_at=ends_in and now + timedelta(days=ends_in)
    )
    ApiKey.objects.filter(pk=key.pk).update(created_at=now - timedelta(days=made_ago))
    key.refresh_from_db()
    return key


@contextmanager
def announced():
    """The names of the keys that receivers hear of."""
    names = []

    def receive(key, **_):
        names.append(key.name)

    key_expiring.connect(receive)
    try:
        yield names
    finally:
        key_expiring.disconnect(receive)


def run():
    """As another process would, when the task is due again."""
    PeriodicTask.objects.all().delete()
    signals = BackgroundSignals()
    ExpiringKeys(signals).announce()
    signals.flush()


def test_a_key_that_ends_within_14_days_is_announced_once():
    issue("soon", ends_in=13)
    issue("later", ends_in=15)
    issue("never", ends_in=None)
    issue("over", ends_in=-1)
    issue("sooner", ends_in=1)
    before = PolicyState.objects.get().revision
    with announced() as names:
        run()
        run()
    assert names == ["sooner", "soon"]
    assert PolicyState.objects.get().revision == before


def test_a_moved_end_is_announced_as_well():
    key = issue("k", ends_in=13)
    with announced() as names:
        run()
        ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() + timedelta(days=5))
        run()
    assert names == ["k", "k"]


def test_keys_that_nobody_needs_to_replace_are_not_announced():
    issue("made for a week", ends_in=7, made_ago=0)
    issue("revoked", ends_in=7).revoke("lost")
    issue("rotated", ends_in=20).rotate(timedelta(days=7))
    with announced() as names:
        run()
    assert names == []


def test_one_process_of_all_announces():
    issue("k", ends_in=13)
    signals = [BackgroundSignals(), BackgroundSignals()]
    with announced() as names:
        for each in signals:
            ExpiringKeys(each).announce()
            each.flush()
        assert names == ["k"]
        # Also where the second one does not wait for its turn.
        key = ApiKey.objects.get()
        assert not ApiKey.objects.mark_announced(key)


def test_without_receivers_nothing_is_read_or_marked(django_assert_num_queries):
    key = issue("k", ends_in=13)
    with django_assert_num_queries(0):
        ExpiringKeys(BackgroundSignals()).announce()
    key.refresh_from_db()
    assert key.announced_end_at is None


def test_a_database_that_fails_is_logged(monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("no database")

    monkeypatch.setattr(PeriodicTask.objects.get_queryset().__class__, "claim", fail)
    with announced() as names:
        ExpiringKeys(BackgroundSignals()).announce()
    assert names == []
    assert "no database" in caplog.text
