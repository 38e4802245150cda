"""Stages ask, one place does: what was answered is what the stage is sent."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from apiguard.policy import load
from apiguard.request.effects import Failed, LookUpKey, LookUpUser, perform, run
from apiguard.request.passage import Passage
from tests.request.site import Call, guarded, route


@pytest.fixture
def passage():
    with guarded(route(), look_up=True) as snapshot:
        yield Call().passage(snapshot)


def test_a_stage_is_sent_the_answer_to_what_it_asks(passage, monkeypatch):
    monkeypatch.setattr(load, "key", lambda key_id: None)
    monkeypatch.setattr(load, "user", lambda field, value: (field, value))

    def stage():
        first = yield LookUpKey("nobody")
        second = yield LookUpUser("pk", 5)
        return first, second

    assert run(stage(), passage) == (None, ("pk", 5))


def test_a_stage_that_asks_nothing_just_ends(passage):
    def stage():
        return "done"
        yield

    assert run(stage(), passage) == "done"


@pytest.mark.parametrize("effect", [LookUpKey("a"), LookUpUser("pk", 1)])
def test_a_database_that_does_not_answer_is_an_answer(effect, passage, monkeypatch, caplog):
    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(load, "key", away)
    monkeypatch.setattr(load, "user", away)
    assert isinstance(perform(effect, passage), Failed)
    assert "away" in caplog.text


def test_what_was_looked_up_is_held_by_the_snapshot_that_asked(passage, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "key", asked.append)
    assert isinstance(passage, Passage)
    perform(LookUpKey("nobody"), passage)
    assert passage.snapshot.keyring.get("nobody") == "unknown"
