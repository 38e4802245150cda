"""Reading rows for requests: one query each, and never an exception but the documented."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apiguard.models import ApiKey, Client
from apiguard.policy import load, lookups
from apiguard.policy.keyring import UNKNOWN
from apiguard.policy.snapshot import empty


@pytest.fixture
def key(db):
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k", ["a:b"])
    return key


def test_a_key_and_its_client_cost_one_query(key):
    with CaptureQueriesContext(connection) as queries:
        record = load.key(key.key_id)
    assert (record.pk, record.client.slug, record.scopes) == (key.pk, "a", {"a:b"})
    assert len(queries) == 1


def test_a_record_shows_neither_its_digest_nor_its_pepper(key):
    shown = repr(load.key(key.key_id))
    assert key.digest not in shown
    assert "pepper" not in shown


def test_what_was_looked_up_is_kept_by_the_snapshot_that_asked(key):
    snapshot = empty()
    found = lookups.key(snapshot, key.key_id)
    assert lookups.key(snapshot, "nobody") is None
    assert snapshot.keyring.get(key.key_id) is found
    assert snapshot.keyring.get("nobody") == UNKNOWN


def test_a_database_that_is_away_is_reported_and_nothing_is_kept(monkeypatch):
    def fail(*args):
        raise OperationalError("away")

    snapshot = empty()
    monkeypatch.setattr(load, "key", fail)
    monkeypatch.setattr(load, "user", fail)
    with pytest.raises(lookups.LookUpFailed):
        lookups.key(snapshot, "k")
    with pytest.raises(lookups.LookUpFailed):
        lookups.user("username", "ann")
    assert snapshot.keyring.get("k") is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        pytest.param("username", "ann", True, id="the user"),
        pytest.param("username", "Ann", False, id="another case"),
        pytest.param("username", "bob", False, id="an inactive user"),
        pytest.param("username", "nobody", False, id="nobody"),
        pytest.param("pk", "ann", False, id="no primary key"),
        pytest.param("pk", "9" * 40, False, id="no primary key of any row"),
        pytest.param("no_such_field", "ann", False, id="no field"),
    ],
)
def test_a_subject_is_an_active_user_or_nobody(django_user_model, field, value, found):
    django_user_model.objects.create(username="ann")
    django_user_model.objects.create(username="bob", is_active=False)
    assert (load.user(field, value) is not None) is found


@pytest.fixture
def user_two(django_user_model):
    return django_user_model.objects.create(pk=2, username="two", email="a@example.com")


@pytest.mark.parametrize("field", ["pk", "id"])
@pytest.mark.parametrize("value", ["2", 2])
def test_a_primary_key_is_a_user(user_two, field, value):
    assert load.user(field, value) == user_two


@pytest.mark.parametrize("field", ["pk", "id"])
@pytest.mark.parametrize("value", [" 2", "2 ", "02", "+2", "٢", "2.0", 2.0, None, "0_2"])
def test_another_spelling_of_a_primary_key_is_nobody(user_two, field, value):
    assert load.user(field, value) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("username__startswith", "two", id="a lookup"),
        pytest.param("username__iexact", "TWO", id="a lookup that forgives"),
        pytest.param("groups", "2", id="a relation"),
        pytest.param("logentry", "2", id="a reverse relation"),
        pytest.param("Q", "2", id="no field"),
        pytest.param("", "2", id="no name"),
    ],
)
def test_what_is_no_column_finds_nobody(user_two, field, value):
    assert load.user(field, value) is None


def test_a_value_of_two_users_is_nobody_s(user_two, django_user_model):
    assert load.user("email", "a@example.com") == user_two
    django_user_model.objects.create(username="three", email="a@example.com")
    with CaptureQueriesContext(connection) as queries:
        assert load.user("email", "a@example.com") is None
    assert len(queries) == 1


@pytest.mark.django_db
def test_where_nothing_was_published_the_state_is_empty():
    assert (load.state().revision, load.state().stamp) == (0, "")
    assert load.was_migrated()
