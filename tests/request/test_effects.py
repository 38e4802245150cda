"""Stages ask, one place does: what was answered is what the stage is sent."""

from __future__ import annotations

import logging

import pytest
from django.db import OperationalError

from apiguard.policy import load
from apiguard.request.context import GuardContext
from apiguard.request.effects import Failed, LookUpKey, LookUpUser, perform, run
from tests.request.site import Call, guarded, route


@pytest.fixture
def context():
    with guarded(route(), look_up=True) as snapshot:
        yield Call().context(snapshot)


def test_a_stage_is_sent_the_answer_to_what_it_asks(context, monkeypatch):
    monkeypatch.setattr(load, "key", lambda key_id: None)
    monkeypatch.setattr(load, "user", lambda field, value: (field, value))

    def stage():
        first = yield LookUpKey("nobody")
        second = yield LookUpUser("pk", 5)
        return first, second

    assert run(stage(), context) == (None, ("pk", 5))


def test_a_stage_without_an_effect_just_ends(context):
    def stage():
        return "done"
        yield

    assert run(stage(), context) == "done"


@pytest.mark.parametrize("effect", [LookUpKey("a"), LookUpUser("pk", 1)])
def test_a_database_that_does_not_answer_is_an_answer(effect, context, monkeypatch, caplog):
    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(load, "key", away)
    monkeypatch.setattr(load, "user", away)
    with caplog.at_level(logging.DEBUG, "apiguard.counters"):
        assert isinstance(perform(effect, context), Failed)
    assert "cannot be looked up (OperationalError: away)" in caplog.text


def test_what_was_looked_up_is_held_by_the_snapshot_that_asked(context, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "key", asked.append)
    assert isinstance(context, GuardContext)
    perform(LookUpKey("nobody"), context)
    assert context.snapshot.keyring.get("nobody") == "unknown"
