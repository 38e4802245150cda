"""What receivers of the public signals are told, and when."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.db import transaction

from apiguard import signals
from apiguard.models import ApiKey, Client, PolicyChange, PolicyState, Route, acting

pytestmark = pytest.mark.django_db(transaction=True)

ALL = {
    name: getattr(signals, name)
    for name in (
        *("key_issued", "key_rotated", "key_revoked", "key_expiring"),
        *("limit_reached", "policy_published", "policy_changed", "counter_away", "counter_back"),
    )
}


@contextmanager
def heard(*names):
    """The signals of a block, in their order, as (name, arguments)."""
    told, receivers = [], []
    for name in names:

        def receive(sender, signal, _name=name, **named):
            told.append((_name, sender, named))

        receivers.append((ALL[name], receive))
        ALL[name].connect(receive)
    try:
        yield told
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


KEYS = ("key_issued", "key_rotated", "key_revoked")


@pytest.fixture
def acme():
    return Client.objects.create(slug="acme", name="Acme")


def test_a_key_is_announced_once_it_is_committed(acme, django_user_model):
    user = django_user_model.objects.create(username="ann")
    with heard(*KEYS) as told, transaction.atomic(), acting(user):
        key, _ = ApiKey.objects.issue(acme, "k")
        assert told == []
    assert told == [("key_issued", ApiKey, {"key": key, "by": user})]


def test_what_is_rolled_back_is_not_announced(acme):
    with heard(*KEYS) as told, suppress(ZeroDivisionError), transaction.atomic():
        ApiKey.objects.issue(acme, "k")
        raise ZeroDivisionError
    assert told == []


def test_a_rotation_tells_of_both_keys(acme, django_user_model):
    user = django_user_model.objects.create(username="ann")
    old, _ = ApiKey.objects.issue(acme, "k")
    with heard(*KEYS) as told:
        new, text = old.rotate(timedelta(hours=1), by=user, reason="yearly")
    assert [name for name, _, _ in told] == ["key_issued", "key_rotated"]
    assert told[1][2] == {"old": old, "new": new, "by": user, "reason": "yearly"}
    assert told[0][2]["by"] == user
    with heard(*KEYS) as told:
        new.rotate(reason="leaked")
    assert [name for name, _, _ in told] == ["key_issued", "key_revoked", "key_rotated"]
    assert text not in repr(told)


def test_an_end_is_reported_once(acme):
    key, _ = ApiKey.objects.issue(acme, "k")
    with heard(*KEYS) as told:
        key.revoke("lost")
        key.revoke("again")
        key.save()
    assert told == [("key_revoked", ApiKey, {"key": key, "by": None, "reason": "lost"})]


def test_every_write_tells_of_its_change():
    with heard("policy_changed") as told:
        Route.objects.create(name="a", path_prefix="/a/")
        Route.objects.update(cost=2)
    assert [(sender, named["change"].action) for _, sender, named in told] == [
        (PolicyChange, "created"),
        (PolicyChange, "changed"),
    ]


def test_a_revision_is_announced_once_however_many_rows_it_changes(acme, django_user_model):
    user = django_user_model.objects.create(username="ann")
    old, _ = ApiKey.objects.issue(acme, "k")
    with heard("policy_published") as told, transaction.atomic():
        old.rotate(timedelta(hours=1), by=user, reason="yearly")
        assert told == []
    ((_, sender, named),) = told
    assert sender is PolicyState
    assert named == {
        "revision": PolicyState.objects.get().revision,
        "by": user,
        "by_name": "ann",
        "reason": "yearly",
    }


def test_a_revision_that_a_program_makes_names_the_program():
    with heard("policy_published") as told, acting(name="import", reason="moved"):
        Route.objects.create(name="a", path_prefix="/a/")
        Route.objects.update(cost=2)
    found = [(named["by"], named["by_name"], named["reason"]) for _, _, named in told]
    assert found == [(None, "import", "moved")] * 2
    assert len({named["revision"] for _, _, named in told}) == 2


def test_a_revision_that_is_rolled_back_is_not_announced():
    with heard("policy_published") as told, transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            Route.objects.create(name="a", path_prefix="/a/")
            raise ZeroDivisionError
        Route.objects.create(name="b", path_prefix="/b/")
    assert len(told) == 1


def test_a_receiver_that_raises_stops_nobody(acme, caplog):
    def fail(**_):
        raise RuntimeError("not today")

    signals.key_issued.connect(fail)
    try:
        ApiKey.objects.issue(acme, "k")
    finally:
        signals.key_issued.disconnect(fail)
    assert ApiKey.objects.count() == 1
    assert "not today" in caplog.text


def test_every_signal_is_documented():
    assert {name for name in vars(signals) if f"``{name}``" in (signals.__doc__ or "")} == set(ALL)
