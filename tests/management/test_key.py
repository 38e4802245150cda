from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apiguard import conf
from apiguard.models import ApiKey, Client, PolicyChange
from apiguard.rules import keys as key_rules


def create(run, *more):
    return run("key", "create", "acme", "--name", "ci", *more)


def row_of(said_json):
    return ApiKey.objects.get(key_id=said_json["key_id"])


def test_the_key_stands_alone_on_standard_output(run, acme):
    said = create(run)
    text = said.out.removesuffix("\n")
    parts = key_rules.parse(text, conf.current().key_namespace)
    key = ApiKey.objects.get()
    assert said.status == 0
    assert parts.key_id == key.key_id
    assert key_rules.matches(text, conf.current().key_peppers["tests"], key.digest)
    assert parts.secret not in said.err
    assert "cannot be shown again" in said.err


def test_the_key_as_json(run, acme):
    said = create(run, "--scopes", "orders:write, orders:read", "--environment", "test", "--json")
    key = row_of(said.json)
    assert said.out.count(said.json["key"]) == 1
    assert said.json["key"] not in said.err
    assert said.json == {
        "key_id": key.key_id,
        "key": said.json["key"],
        "client": "acme",
        "name": "ci",
        "environment": "test",
        "scopes": ["orders:read", "orders:write"],
        "expires_at": None,
    }
    assert (key.client, key.scopes) == (acme, ["orders:read", "orders:write"])


def test_a_request_may_bring_the_key_until_it_is_revoked(run, acme, client):
    run("baseline", "--enforce")
    made = create(run, "--json").json
    call = {"path": "/api/plain", "headers": {"X-API-Key": made["key"]}}
    assert client.get(**call).json()["principal"] == f"client:{acme.pk}"
    run("key", "revoke", made["key_id"], "--reason", "lost")
    assert client.get(**call).status_code == 401


def test_a_key_may_be_made_to_end(run, acme):
    before = timezone.now()
    said = create(run, "--expires-in", "3", "--json")
    key = row_of(said.json)
    assert before + timedelta(days=3) <= key.expires_at <= timezone.now() + timedelta(days=3)
    assert parse_datetime(said.json["expires_at"]) == key.expires_at.replace(microsecond=0)


@pytest.mark.parametrize(
    ("arguments", "said_why"),
    [
        pytest.param(("acm", "--name", "ci"), "Did you mean 'acme'?", id="nearest client"),
        pytest.param(("zzz", "--name", "ci"), "There are: acme.", id="no near client"),
        pytest.param(("acme", "--name", "ci", "--scopes", "a b"), "scope", id="bad scope"),
        pytest.param(("acme", "--name", ""), "name: ", id="empty name"),
        pytest.param(("acme", "--name", "n" * 101), "name: ", id="long name"),
    ],
)
def test_what_cannot_be_made_is_explained(run, acme, arguments, said_why):
    said = run("key", "create", *arguments)
    assert (said.status, said.out) == (2, "")
    assert said_why in said.err
    assert not ApiKey.objects.exists()


def test_an_unregistered_scope_is_refused(run, acme):
    with override_settings(APIGUARD={"SCOPES": ["orders:read"]}):
        said = create(run, "--scopes", "orders:raed")
    assert said.status == 2
    assert "orders:raed" in said.err


def test_where_there_is_no_client_at_all_it_says_so(run):
    assert "There is none at all" in create(run).err


@pytest.mark.parametrize("days", ["0", "-1", "36501", "1.5", "ten", "9" * 30, "٣"])
def test_a_number_of_days_is_a_whole_one(run, acme, days):
    said = create(run, f"--expires-in={days}")
    assert said.status != 0
    assert not ApiKey.objects.exists()


def test_who_makes_a_key_that_is_refused_anyway_is_told(run, acme):
    Client.objects.update(enabled=False)
    assert "not enabled" in create(run).err
    with override_settings(APIGUARD={"ALLOW_TEST_KEYS": False}):
        assert "ALLOW_TEST_KEYS" in create(run, "--environment", "test").err


def test_no_keys_are_listed_as_none(run, acme):
    assert run("key", "list").out == "There are no keys.\n"
    assert run("key", "list", "--json").json == []


def test_keys_are_listed_without_their_secrets(run, acme):
    made = create(run, "--scopes", "a,b", "--json").json
    listed = run("key", "list")
    heads, row = listed.out.splitlines()
    assert heads.split() == [
        *("key_id", "client", "name", "environment", "status", "scopes", "expires_at")
    ]
    assert row.split() == [made["key_id"], "acme", "ci", "live", "valid", "a", "b", "-"]
    (as_json,) = run("key", "list", "--json").json
    assert as_json["key_id"] == made["key_id"]
    digest = ApiKey.objects.get().digest
    for secret in (made["key"], digest):
        assert secret not in listed.out + run("key", "list", "--json").out


def test_the_keys_of_one_client_are_listed(run, acme):
    other = Client(slug="other", name="Other")
    other.save()
    create(run)
    key, _text = ApiKey.objects.issue(other, "theirs")
    (row,) = run("key", "list", "--client", "other", "--json").json
    assert row["key_id"] == key.key_id
    assert run("key", "list", "--client", "othr").status == 2


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("fields", "enabled", "status"),
    [
        pytest.param({}, True, "valid", id="valid"),
        pytest.param({"revoked_at": HOUR}, True, "revoked", id="revoked"),
        pytest.param({"expires_at": -HOUR}, True, "expired", id="expired"),
        pytest.param({"not_before": HOUR}, True, "not yet valid", id="not yet"),
        pytest.param({}, False, "client disabled", id="client disabled"),
    ],
)
def test_a_key_is_listed_with_what_it_can_still_do(run, acme, fields, enabled, status):
    ApiKey.objects.issue(acme, "ci")
    now = timezone.now()
    why = "lost" if "revoked_at" in fields else ""
    times = {name: now + ago for name, ago in fields.items()}
    ApiKey.objects.update(name="ci", revoke_reason=why, **times)
    Client.objects.update(enabled=enabled)
    (row,) = run("key", "list", "--json").json
    assert row["status"] == status


def test_a_revoked_key_stays_and_says_why(run, acme):
    key, _text = ApiKey.objects.issue(acme, "ci")
    said = run("key", "revoke", key.key_id, "--reason", "found on the web")
    key.refresh_from_db()
    change = PolicyChange.objects.first()
    assert said.status == 0
    assert key.revoked_at is not None
    assert key.revoke_reason == change.reason == "found on the web"
    assert change.actor_name == "apiguard key revoke (command line)"


def test_revoking_twice_changes_nothing(run, acme):
    key, _text = ApiKey.objects.issue(acme, "ci")
    first = run("key", "revoke", key.key_id, "--reason", "one", "--json").json
    again = run("key", "revoke", key.key_id, "--reason", "two")
    key.refresh_from_db()
    assert again.status == 0
    assert "revoked already" in again.out
    assert key.revoke_reason == "one"
    assert run("key", "revoke", key.key_id, "--reason", "two", "--json").json == first


@pytest.mark.parametrize("verb", [["revoke"], ["rotate", "--now"]])
def test_a_key_that_is_not_there_is_something_found(run, acme, verb):
    said = run("key", *verb, "nosuchkeyhas", "--reason", "lost")
    assert said.status == 1
    assert "apiguard key list" in said.err


@pytest.mark.parametrize("spoil", [False, True])
def test_a_whole_key_is_refused_as_an_argument_and_never_repeated(run, acme, spoil):
    key, text = ApiKey.objects.issue(acme, "ci")
    given = text[:-1] + ("0" if text[-1] != "0" else "1") if spoil else text
    said = run("key", "revoke", given, "--reason", "lost")
    assert said.status == 2
    assert text.split("_")[3][:32] not in said.err
    assert (key.key_id in said.err) is not spoil


def test_a_rotated_key_ends_at_once_or_when_its_grace_is_over(run, acme):
    old, _text = ApiKey.objects.issue(acme, "ci", scopes=["a"])
    said = run("key", "rotate", old.key_id, "--now", "--reason", "yearly", "--json")
    new = row_of(said.json)
    old.refresh_from_db()
    assert (said.json["replaces"], new.replaces, new.scopes) == (old.key_id, old, ["a"])
    assert old.revoked_at is not None
    assert PolicyChange.objects.first().reason == "yearly"
    before = timezone.now()
    run("key", "rotate", new.key_id, "--reason", "yearly", "--grace", "60")
    new.refresh_from_db()
    assert new.revoked_at is None
    assert before + timedelta(seconds=60) <= new.expires_at


@pytest.mark.parametrize("when", [[], ["--now", "--grace", "60"]])
def test_whether_the_old_key_ends_at_once_has_to_be_said(run, acme, when):
    old, _text = ApiKey.objects.issue(acme, "ci")
    assert run("key", "rotate", old.key_id, "--reason", "yearly", *when).status != 0
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_has_no_successor(run, acme):
    key, _text = ApiKey.objects.issue(acme, "ci")
    key.revoke("lost")
    said = run("key", "rotate", key.key_id, "--now", "--reason", "yearly")
    assert (said.status, said.out) == (2, "")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("used", "status", "found"),
    [
        pytest.param(None, 0, ["ci"], id="never"),
        pytest.param(40, 0, ["ci"], id="long ago"),
        pytest.param(1, 0, [], id="lately"),
    ],
)
def test_keys_that_nobody_uses_are_listed(run, acme, used, status, found):
    ApiKey.objects.issue(acme, "ci")
    now, day = timezone.now(), timedelta(days=1)
    ApiKey.objects.update(created_at=now - 60 * day, last_used_at=used and now - used * day)
    said = run("key", "list", "--unused", "30", "--json")
    assert said.status == status
    assert [row["name"] for row in said.json] == found
    lines = run("key", "list", "--unused", "30").out
    assert ("last_used_at" in lines) if found else (lines == "There are no such keys.\n")


def test_keys_that_would_die_with_a_pepper_are_listed_before_it_is_removed(run, acme):
    ApiKey.objects.issue(acme, "ci")
    assert len(run("key", "list", "--pepper", "tests", "--json").json) == 1
    assert run("key", "list", "--pepper", "other", "--json").json == []


def test_who_rotates_a_key_again_is_told_of_its_successor(run, acme):
    old, _text = ApiKey.objects.issue(acme, "ci")
    first = run("key", "rotate", old.key_id, "--reason", "yearly", "--grace", "60", "--json")
    again = run("key", "rotate", old.key_id, "--reason", "lost it", "--grace", "60")
    assert "rotated before" not in first.err
    assert f"rotated before; its newest successor is {first.json['key_id']}" in again.err


def test_an_expired_key_has_no_successor(run, acme):
    key, _text = ApiKey.objects.issue(acme, "ci", expires_at=timezone.now())
    said = run("key", "rotate", key.key_id, "--now", "--reason", "yearly")
    assert (said.status, "issue a new one" in said.err) == (2, True)
