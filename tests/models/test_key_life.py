"""A key's state, its rotation and its end, as rows."""

from __future__ import annotations

import itertools
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import override_settings
from django.utils import timezone

from apiguard import conf
from apiguard.models import ApiKey, Client, PolicyChange
from apiguard.models.key_conditions import (
    FILTERABLE,
    SOON,
    alive,
    ending_soon,
    hashed_with,
    in_state,
    never_used,
    unused,
)
from apiguard.policy.records import key_record
from apiguard.request import keys
from apiguard.request.verdict import Outcome
from apiguard.rules.key_life import KeyState
from apiguard.rules.keys import parse
from tests.request.site import settings_of

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return Client.objects.create(slug="acme", name="Acme")


@pytest.fixture
def key(acme):
    return ApiKey.objects.issue(acme, "laptop", ["a:b"], allowed_networks=["192.0.2.0/24"])[0]


# -- one state, whoever asks -------------------------------------------------------

FACTS = ("revoked", "expired", "early", "test", "disabled", "pepper", "broken")
EVERY_KEY = [set(itertools.compress(FACTS, bits)) for bits in itertools.product((0, 1), repeat=7)]
POSSIBLE = [facts for facts in EVERY_KEY if not {"expired", "early"} <= facts]
OUTCOMES = {
    KeyState.VALID: None,
    KeyState.REVOKED: Outcome.KEY_REVOKED,
    KeyState.EXPIRED: Outcome.KEY_EXPIRED,
    KeyState.NOT_YET_VALID: Outcome.KEY_NOT_YET_VALID,
    KeyState.TEST_REFUSED: Outcome.KEY_TEST_NOT_ALLOWED,
    KeyState.CLIENT_DISABLED: Outcome.CLIENT_DISABLED,
    KeyState.PEPPER_GONE: Outcome.PEPPER_UNKNOWN,
    KeyState.BROKEN: Outcome.KEY_BROKEN,
}


def make(facts, now):
    """A stored key of which these facts hold, and its text."""
    client = Client.objects.create(
        slug=f"c{Client.objects.count()}", name="C", enabled="disabled" not in facts
    )
    key, text = ApiKey.objects.issue(
        client,
        "k",
        environment="test" if "test" in facts else "live",
        expires_at=now - HOUR if "expired" in facts else None,
        not_before=now + HOUR if "early" in facts else None,
    )
    changes = {
        **({"revoked_at": now, "revoke_reason": "lost"} if "revoked" in facts else {}),
        **({"pepper_id": "gone"} if "pepper" in facts else {}),
        **({"scopes": ["a b"]} if "broken" in facts else {}),
    }
    ApiKey.objects.filter(pk=key.pk).update(name="k", **changes)
    return ApiKey.objects.select_related("client").get(pk=key.pk), text


def test_every_state_can_be_told_in_a_request():
    assert set(OUTCOMES) == set(KeyState)


@pytest.mark.parametrize("facts", POSSIBLE, ids=lambda facts: " ".join(sorted(facts)) or "good")
def test_the_state_the_lists_and_a_request_agree(facts, monkeypatch):
    now = timezone.now()
    with override_settings(APIGUARD=settings_of(ALLOW_TEST_KEYS=False)):
        key, text = make(facts, now)
        state = key.state(now)
        listed = [each for each in FILTERABLE if ApiKey.objects.filter(in_state(each, now))]
        assert listed == [KeyState.VALID if state is KeyState.BROKEN else state]
        context = SimpleNamespace(settings=conf.current(), address="192.0.2.1")
        judged = keys.judge_key(key_record(key), parse(text, "ag"), context)
    assert (judged is None) is (state is KeyState.VALID)
    if len(facts) == 1:
        # Of several reasons a request may find another one first.
        assert judged is OUTCOMES[state]


def test_keys_that_end_soon_are_those_that_can_still_be_used(acme):
    now = timezone.now()
    soon = ApiKey.objects.issue(acme, "soon", expires_at=now + SOON - HOUR)[0]
    for ends in (now + SOON + HOUR, now - HOUR, None):
        ApiKey.objects.issue(acme, "k", expires_at=ends)
    ApiKey.objects.issue(acme, "revoked", expires_at=now + DAY)[0].revoke("lost")
    assert list(ApiKey.objects.filter(ending_soon(now))) == [soon]


@pytest.mark.parametrize(
    ("made", "used", "found"),
    [
        pytest.param(40, None, {"never", 30}, id="never, made long ago"),
        pytest.param(10, None, {"never"}, id="never, made lately"),
        pytest.param(400, 100, {30, 90}, id="long ago"),
        pytest.param(400, 30, {30}, id="that very day"),
        pytest.param(400, 1, set(), id="lately"),
    ],
)
def test_unused_keys_are_found(key, made, used, found):
    now = timezone.now()
    last = None if used is None else now - used * DAY
    ApiKey.objects.update(created_at=now - made * DAY, last_used_at=last)
    conditions = {"never": never_used(now), 30: unused(now, 30), 90: unused(now, 90)}

    def now_found():
        return {name for name, which in conditions.items() if ApiKey.objects.filter(which).exists()}

    assert now_found() == found
    ApiKey.objects.update(expires_at=now)
    assert now_found() == set()
    ApiKey.objects.update(expires_at=None)
    key.revoke("unused")
    assert now_found() == set()
    assert not ApiKey.objects.filter(alive(now)).exists()


def test_keys_that_would_die_with_a_pepper_are_named(acme, key):
    ApiKey.objects.issue(acme, "dead")[0].revoke("lost")
    with override_settings(APIGUARD=settings_of(KEY_PEPPERS={"new": "n" * 40})):
        ApiKey.objects.issue(acme, "new")
    assert list(ApiKey.objects.filter(hashed_with("tests", timezone.now()))) == [key]


# -- rotation --------------------------------------------------------------------------


def test_a_successor_belongs_to_the_same_client_and_has_the_same_settings(key):
    new, text = key.rotate(7 * DAY)
    assert text.startswith(f"ag_live_{new.key_id}_")
    for name in ("client", "name", "scopes", "allowed_networks", "environment"):
        assert getattr(new, name) == getattr(key, name)
    assert (new.replaces, new.expires_at, new.last_used_at) == (key, None, None)
    assert key.expires_at == key.rotated_at + 7 * DAY


def test_settings_are_copied_as_they_are_stored_not_as_they_were_read(key):
    stale = ApiKey.objects.get()
    ApiKey.objects.update(scopes=[], allowed_networks=["198.51.100.0/24"])
    stale.scopes = ["a:b", "everything"]
    new, _ = stale.rotate()
    assert (new.scopes, new.allowed_networks) == ([], ["198.51.100.0/24"])


@pytest.mark.parametrize("grace", [timedelta(0), -HOUR])
def test_without_grace_the_old_key_is_revoked(key, grace):
    key.rotate(grace, reason="leaked")
    stored = ApiKey.objects.get(pk=key.pk)
    assert stored.revoked_at is not None
    assert (stored.revoke_reason, stored.expires_at) == ("leaked", None)


def test_a_second_rotation_within_the_grace_keeps_the_life_that_was_meant(acme):
    key, _ = ApiKey.objects.issue(acme, "yearly", expires_at=timezone.now() + 365 * DAY)
    lifetime = key.expires_at - key.created_at
    first, _ = key.rotate(HOUR)
    ends = key.expires_at
    second, _ = ApiKey.objects.get(pk=key.pk).rotate(DAY)
    for new in (first, second):
        assert abs(new.expires_at - new.created_at - lifetime) < timedelta(minutes=1)
    assert ApiKey.objects.get(pk=key.pk).expires_at == ends
    third, _ = first.rotate(HOUR)
    assert abs(third.expires_at - third.created_at - lifetime) < timedelta(minutes=1)


def test_a_key_that_was_never_to_end_has_successors_that_never_end(key):
    assert [key.rotate(HOUR)[0].expires_at for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_what_is_over_is_not_brought_back_by_rotating_it(key, end):
    if end == "revoked":
        ApiKey.objects.get().revoke("lost")
    else:
        ApiKey.objects.update(expires_at=timezone.now())
    with pytest.raises(ValidationError, match="issue a new one"):
        key.rotate(HOUR)
    assert ApiKey.objects.count() == 1


def test_a_key_that_begins_after_the_grace_never_works_and_its_successor_begins_when_it_would(acme):
    begins = timezone.now() + 30 * DAY
    key, _ = ApiKey.objects.issue(acme, "k", not_before=begins, expires_at=begins + 10 * DAY)
    new, _ = key.rotate(7 * DAY)
    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    assert (new.not_before, new.expires_at) == (begins, begins + 10 * DAY)


def test_a_key_that_begins_within_the_grace_goes_on_until_its_end(acme):
    begins = timezone.now() + DAY
    key, _ = ApiKey.objects.issue(acme, "k", not_before=begins)
    new, _ = key.rotate(7 * DAY)
    assert (key.revoked_at, new.not_before) == (None, begins)
    assert key.expires_at > begins


@pytest.mark.parametrize("environment", ["live", "test"])
def test_keys_of_a_disabled_client_are_rotated_for_the_day_that_it_is_enabled(acme, environment):
    key, _ = ApiKey.objects.issue(acme, "k", environment=environment)
    Client.objects.update(enabled=False)
    new, _ = key.rotate(HOUR)
    assert (new.environment, new.state()) == (environment, KeyState.CLIENT_DISABLED)


def test_rotating_a_key_that_somebody_rotated_meanwhile_fails(key):
    stale = ApiKey.objects.get()
    key.rotate(HOUR)
    with pytest.raises(ValidationError, match="Somebody else") as told:
        stale.rotate(HOUR)
    assert told.value.code == "rotated_meanwhile"
    assert ApiKey.objects.count() == 2


def test_a_rotation_that_fails_ends_nothing(key):
    with (
        override_settings(APIGUARD=settings_of(SCOPES=["other"])),
        pytest.raises(ValidationError, match="registry"),
    ):
        key.rotate()
    assert [row.revoked_at for row in ApiKey.objects.all()] == [None]


def test_the_history_says_who_rotated_and_why(key, admin_user):
    key.rotate(HOUR, by=admin_user, reason="yearly")
    told = PolicyChange.objects.filter(model="apiguard.apikey")[:2]
    assert {(change.actor, change.reason) for change in told} == {(admin_user, "yearly")}


# -- revocation --------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_key_is_revoked_for_a_reason(key, reason):
    with pytest.raises(ValidationError) as told:
        key.revoke(reason)
    assert "revoke_reason" in told.value.message_dict
    assert ApiKey.objects.get().revoked_at is None


def test_the_history_says_who_revoked_and_why(key, admin_user):
    key.revoke(" lost ", by=admin_user)
    change = PolicyChange.objects.first()
    assert (change.actor, change.actor_name) == (admin_user, admin_user.username)
    assert key.revoke_reason == "lost"


def test_a_form_that_would_bring_a_key_back_is_refused(key):
    stale = ApiKey.objects.get()
    key.revoke("lost")
    with pytest.raises(ValidationError, match="revoked for good"):
        stale.full_clean()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("revoked_at = NULL", id="the time alone is taken away"),
        pytest.param("revoke_reason = ''", id="the reason alone is taken away"),
    ],
)
def test_the_database_refuses_half_a_revocation(key, change):
    key.revoke("lost")
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE apiguard_apikey SET {change}")  # noqa: S608 - from this table
    assert ApiKey.objects.get().revoked_at is not None


def test_the_database_wants_a_reason_for_an_end(key):
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.update(revoked_at=timezone.now())
