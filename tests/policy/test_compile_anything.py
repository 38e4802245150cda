"""Compiling whatever a database may hold: never an exception, never a good route disturbed."""

from __future__ import annotations

from django.db import models
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.models import (
    ApiKey,
    Client,
)
from apiguard.policy.records import client_record, key_record
from tests.examples import examples
from tests.policy.rows import KIND, compiled, route

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
# SQLite keeps any of these in any column.
STORED = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=4)
    | st.sampled_from(["enforce", "quota", "day", "*", "/a/", "https://*.com", "HS256", "demo"])
)
PKS = st.none() | st.integers(1, 3) | st.text(max_size=2)


def _values(field):
    if isinstance(field, models.ForeignKey):
        return PKS
    if isinstance(field, models.JSONField):
        return JSON | st.lists(st.sampled_from(["GET", "a/b", "a", "HS256", "JWT"]), max_size=3)
    sensible = [value for value, _ in field.flatchoices or ()]
    return STORED | st.sampled_from(sensible) if sensible else STORED


@st.composite
def junk_rows(draw, model):
    row = model()
    for field in model._meta.concrete_fields:
        if field.primary_key:
            row.pk = draw(st.integers(1, 3))
        elif draw(st.booleans()):
            setattr(row, field.attname, draw(_values(field)))
    return row


@settings(max_examples=examples(40))
@given(st.lists(st.one_of(*map(junk_rows, KIND)), max_size=8))
def test_compiling_never_raises_and_never_disturbs_a_good_route(rows):
    good = route(10, name="good", path_prefix="/good/only/")
    snapshot = compiled(*rows, good)
    assert not snapshot.routes.find("/good/only/x").broken
    assert all(str(problem) for problem in snapshot.problems)
    assert all(problem.error.as_dict() for problem in snapshot.problems)


@settings(max_examples=examples(30))
@given(junk_rows(ApiKey), junk_rows(Client))
def test_a_key_or_client_of_junk_becomes_a_record(key, client):
    key.client = client
    record = key_record(key)
    assert record.broken is bool(key.problems())
    assert client_record(client).broken is bool(client.problems())
