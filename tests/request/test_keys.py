"""A key that was found good is known again, and still judged by all that may have changed."""

from __future__ import annotations

import gc
import types
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.bounded_cache import BoundedCache
from apiguard.policy import load, lookups
from apiguard.policy.holder import holder
from apiguard.policy.records import key_record
from apiguard.request import credentials
from apiguard.request import keys as verifier
from apiguard.request.effects import run
from apiguard.request.verdict import Outcome
from apiguard.rules import keys
from apiguard.telemetry.buffer import buffer
from tests.examples import examples
from tests.request.site import Call, Caller, guarded, route, settings_of

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Clock(datetime):
    """The verifier's clock; tests set it."""

    moment = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.moment


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Clock, "moment", NOW)
    monkeypatch.setattr(verifier, "datetime", Clock)
    return Clock


@pytest.fixture
def work(monkeypatch):
    """How often a key's text was taken apart, and how often it was digested."""
    done = Counter()
    for name in ("parse", "digest"):
        original = getattr(keys, name)

        def counting(*args, _name=name, _original=original):
            done[_name] += 1
            return _original(*args)

        monkeypatch.setattr(keys, name, counting)
    return done


@contextmanager
def site(caller, **members):
    with guarded(
        route(access="credentials"), *caller.rows, FAILED_CREDENTIALS_LIMIT=None, **members
    ) as snapshot:
        yield snapshot


def context_of(text, scheme="", **headers):
    name, value = ("Authorization", f"{scheme} {text}") if scheme else ("X-API-Key", text)
    return Call(headers={name: value, **headers}).wsgi().wsgi_request.apiguard


def outcome(caller, *, text=None, **headers):
    return context_of(text or caller.text, **headers).verdict.outcome


# -- known again -------------------------------------------------------------------


def test_a_second_request_with_a_key_neither_parses_nor_digests_it(work):
    caller = Caller()
    work.clear()  # It was digested when it was made.
    with site(caller):
        first = context_of(caller.text)
        assert work == {"parse": 1, "digest": 1}
        again = [context_of(caller.text) for _ in range(3)]
    assert work == {"parse": 1, "digest": 1}
    for context in (first, *again):
        assert context.verdict.outcome is Outcome.ADMITTED
        assert context.auth is first.auth
        assert context.client is first.client
        assert context.credential == first.credential
        assert context.principal == f"client:{caller.client.pk}"


@pytest.mark.parametrize(
    "newer", [{}, {"newer": "n" * 32}], ids=["as it is stored", "with a digest to renew"]
)
def test_what_only_this_request_has_seen_is_remembered_for_nobody(newer, monkeypatch):
    # So it is inside an open transaction, which may see a key that is revoked by now.
    caller = Caller()
    record = key_record(caller.row)
    monkeypatch.setattr(lookups, "key", lambda *_: record)
    peppers = {**newer, **settings_of()["KEY_PEPPERS"]}
    with site(caller, KEY_PEPPERS=peppers) as snapshot:
        monkeypatch.setattr(snapshot.keyring, "closed", False)
        monkeypatch.setattr(snapshot.keyring, "_records", BoundedCache(1))
        assert outcome(caller) is Outcome.ADMITTED
        assert snapshot.keyring.get(record.key_id) is None
        monkeypatch.setattr(lookups, "key", lambda *_: None)
        assert outcome(caller) is Outcome.KEY_UNKNOWN


@pytest.mark.parametrize("order", [("", "Bearer", "ApiKey"), ("Bearer", "ApiKey", "")])
def test_in_another_scheme_it_is_answered_in_that_scheme(order):
    caller = Caller(scopes=())
    row = route(access="credentials", required_scopes=["orders:read"])
    with guarded(row, *caller.rows):
        for scheme in (*order, *order):
            name, value = (
                ("Authorization", f"{scheme} {caller.text}")
                if scheme
                else ("X-API-Key", caller.text)
            )
            answer = Call(headers={name: value}).wsgi()
            assert answer.status_code == 403
            expected = f'{scheme or "ApiKey"} realm="api", error="insufficient_scope"'
            assert answer.headers["WWW-Authenticate"].startswith(expected)


def test_every_request_has_a_user_of_its_own():
    caller = Caller()
    with site(caller):
        first, second = context_of(caller.text), context_of(caller.text)
        first.credential.user.tenant = "kept on the user by a project"
        third = context_of(caller.text)
    assert first.credential.user == second.credential.user == third.credential.user
    assert len({id(one.credential.user) for one in (first, second, third)}) == 3
    assert not hasattr(second.credential.user, "tenant")
    assert not hasattr(third.credential.user, "tenant")


def test_two_keys_of_a_client_are_distinguished():
    caller, other = Caller(), Caller()
    other.row.client = caller.client
    with guarded(route(access="credentials"), *caller.rows, other.row):
        for _ in range(2):
            assert context_of(caller.text).auth.key_id == caller.row.key_id
            assert context_of(other.text).auth.key_id == other.row.key_id


# -- and still judged ----------------------------------------------------------------


def test_it_expires(clock, work):
    caller = Caller(key_fields={"expires_at": NOW + 10 * SECOND})
    with site(caller):
        assert outcome(caller) is Outcome.ADMITTED
        clock.moment = NOW + 10 * SECOND - SECOND / 1000
        assert outcome(caller) is Outcome.ADMITTED
        assert work["parse"] == 1
        clock.moment = NOW + 10 * SECOND
        assert outcome(caller) is Outcome.KEY_EXPIRED
        assert outcome(caller) is Outcome.KEY_EXPIRED


def test_it_is_not_valid_before_its_time_even_if_a_clock_steps_back(clock):
    caller = Caller()
    caller.row.not_before = NOW
    with site(caller):
        assert outcome(caller) is Outcome.ADMITTED
        clock.moment = NOW - SECOND
        assert outcome(caller) is Outcome.KEY_NOT_YET_VALID
        clock.moment = NOW
        assert outcome(caller) is Outcome.ADMITTED


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"key_fields": {"allowed_networks": ["192.0.2.0/24"]}}, Outcome.KEY_WRONG_NETWORK),
        ({"client_fields": {"allowed_networks": ["192.0.2.0/24"]}}, Outcome.CLIENT_WRONG_NETWORK),
    ],
    ids=["its own", "its client's"],
)
def test_it_is_refused_outside_its_networks(fields, expected):
    networks = fields.get("key_fields", {}).get("allowed_networks")
    caller = Caller(client_fields=fields.get("client_fields", {}))
    if networks:
        caller.row.allowed_networks = networks
    inside, outside = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "198.51.100.7"}
    with site(caller, TRUSTED_PROXIES=["127.0.0.1"]):
        told = [outcome(caller, **where) for where in (inside, outside, inside, outside)]
    assert told == [Outcome.ADMITTED, expected] * 2


def revoked(caller):
    caller.row.revoked_at = NOW


def disabled(caller):
    caller.client.enabled = False


def taken_away(caller):
    caller.row.key_id = "0" * 12


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(revoked, Outcome.KEY_REVOKED, id="revoked"),
        pytest.param(disabled, Outcome.CLIENT_DISABLED, id="its client disabled"),
        pytest.param(taken_away, Outcome.KEY_UNKNOWN, id="deleted"),
    ],
)
@pytest.mark.parametrize("forgotten", ["the key", "the client", "all"])
def test_what_the_next_policy_says_holds_from_then_on(change, expected, forgotten, monkeypatch):
    caller = Caller()
    caller.row.pk, caller.client.pk = 7, 3
    monkeypatch.setattr(
        load, "key", lambda key_id: key_record(caller.row) if key_id == caller.row.key_id else None
    )
    gone = {"the key": ({7}, ()), "the client": ((), {3}), "all": (None, None)}[forgotten]
    with guarded(route(access="credentials"), look_up=True) as snapshot:
        assert [outcome(caller) for _ in range(2)] == [Outcome.ADMITTED] * 2
        change(caller)
        # A request is judged by one policy from start to end.
        assert outcome(caller) is Outcome.ADMITTED
        successor = replace(snapshot, keyring=snapshot.keyring.without(*gone))
        with holder.override(successor):
            assert [outcome(caller) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(
    ("environment", "members", "expected"),
    [
        ("test", {"ALLOW_TEST_KEYS": False}, Outcome.KEY_TEST_NOT_ALLOWED),
        ("live", {"KEY_PEPPERS": {"another": "another-pepper-" * 3}}, Outcome.PEPPER_UNKNOWN),
        ("live", {"KEY_PEPPERS": {"tests": "another-pepper-" * 3}}, Outcome.KEY_WRONG_SECRET),
        ("live", {"KEY_PEPPERS": {}}, Outcome.PEPPER_UNKNOWN),
        ("live", {"KEY_NAMESPACE": "other"}, Outcome.KEY_MALFORMED),
        ("live", {"KEY_NAMESPACE": "zz"}, Outcome.KEY_MALFORMED),
        ("live", {"REALM": "elsewhere"}, Outcome.ADMITTED),
    ],
    ids=str,
)
def test_other_settings_are_another_judgement(environment, members, expected):
    caller = Caller(key_fields={"environment": environment})
    with site(caller):
        for _ in range(2):
            assert [outcome(caller) for _ in range(2)] == [Outcome.ADMITTED] * 2
            changed = {**settings_of(), **members}
            with override_settings(APIGUARD=changed):
                assert [outcome(caller) for _ in range(2)] == [expected] * 2


def forged(text):
    """The same key id, another secret, and the right checksum."""
    body = text[: -keys._CRC_LENGTH]
    body = body[:-1] + ("a" if body[-1] != "a" else "b")
    return body + keys._checksum(body)


def test_a_wrong_secret_is_wrong_however_well_the_key_is_known():
    caller = Caller()
    with site(caller):
        for _ in range(2):
            assert outcome(caller) is Outcome.ADMITTED
            assert outcome(caller, text=forged(caller.text)) is Outcome.KEY_WRONG_SECRET


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_other_text_is_taken_for_a_key_that_is_known(data):
    caller = Caller()
    with site(caller) as snapshot:
        assert outcome(caller) is Outcome.ADMITTED
        at = data.draw(st.integers(0, len(caller.text)))
        by = data.draw(st.text(alphabet=keys.BASE62 + "_-. é", max_size=2))
        text = caller.text[:at] + by + caller.text[at + data.draw(st.integers(0, 2)) :]
        context = Call(headers={"X-API-Key": text}).context(snapshot)
        verdict = run(credentials.verify_credential(context), context)
        assert (verdict is None) == (context.credential is not None)
        assert (verdict is None) == (text.strip(" \t") == caller.text)


# -- a pepper that this process does not have ------------------------------------------


def environment_swapped(text):
    body = text.replace("_live_", "_test_")[: -keys._CRC_LENGTH]
    return body + keys._checksum(body)


def unchanged(caller):
    pass


def expired(caller):
    caller.row.expires_at = NOW


def elsewhere(caller):
    caller.row.allowed_networks = ["192.0.2.0/24"]


def broken(caller):
    caller.row.scopes = ["a b"]


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf"])
@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
@pytest.mark.parametrize(
    ("change", "sent", "status"),
    [
        pytest.param(unchanged, str, 503, id="the key"),
        pytest.param(unchanged, forged, 503, id="another secret, which cannot be excluded"),
        pytest.param(unchanged, environment_swapped, 401, id="the other environment"),
        pytest.param(revoked, str, 401, id="revoked"),
        pytest.param(expired, str, 401, id="expired"),
        pytest.param(disabled, str, 401, id="its client disabled"),
        pytest.param(elsewhere, str, 401, id="another network"),
        pytest.param(broken, str, 401, id="broken"),
    ],
)
def test_a_key_of_an_unknown_pepper_is_not_wrong_but_cannot_be_verified_now(
    change, sent, status, middleware, path
):
    caller = Caller()
    change(caller)
    rows = [route(access="credentials"), *caller.rows]
    if not middleware:
        path = "/api/drf"
    call = Call(path=path, headers={"X-API-Key": sent(caller.text)})
    with guarded(*rows, middleware=middleware, KEY_PEPPERS={"later": "l" * 32}):
        response = call.wsgi()
    assert response.status_code == status
    verdict = response.wsgi_request.apiguard.verdict
    assert (verdict.outcome is Outcome.PEPPER_UNKNOWN) is (status == 503)
    assert ("Retry-After" in response.headers) is (status == 503)
    assert ("WWW-Authenticate" in response.headers) is (status == 401)
    if status == 503:
        assert response.json()["error"] == "service_unavailable"
        assert "tests" in verdict.reason


def test_a_key_of_an_unknown_pepper_is_no_failed_credential():
    caller = Caller()
    call = Call(headers={"X-API-Key": caller.text})
    rows = [route(access="credentials"), *caller.rows]
    members = {"FAILED_CREDENTIALS_LIMIT": "1/min", "KEY_PEPPERS": {"later": "l" * 32}}
    with guarded(*rows, **members):
        assert [call.wsgi().status_code for _ in range(3)] == [503] * 3


def test_what_was_refused_is_not_remembered_as_good(clock):
    caller = Caller()
    caller.row.not_before = NOW + SECOND
    with site(caller) as snapshot:
        assert outcome(caller) is Outcome.KEY_NOT_YET_VALID
        assert len(snapshot.keyring._callers) == 0
        clock.moment = NOW + SECOND
        assert outcome(caller) is Outcome.ADMITTED
        assert len(snapshot.keyring._callers) == 1


def test_garbage_of_any_length_is_not_remembered():
    caller = Caller()
    with site(caller) as snapshot:
        for text in ("x", "x" * len(caller.text), "x" * 5000):
            assert outcome(caller, text=text) is Outcome.KEY_MALFORMED
        assert len(snapshot.keyring._callers) == 0


def test_an_owner_is_looked_up_for_every_request(monkeypatch):
    owner = User(pk=5, username="olga")
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    asked, there = [], {5: owner}

    def look_up(field, value):
        asked.append((field, value))
        return there.get(value)

    monkeypatch.setattr(load, "user", look_up)
    with site(caller):
        assert [outcome(caller) for _ in range(3)] == [Outcome.ADMITTED] * 3
        assert asked == [("pk", 5)] * 3
        there.clear()
        assert [outcome(caller) for _ in range(2)] == [Outcome.OWNER_INACTIVE] * 2


def test_a_digest_of_an_older_pepper_is_renewed_once(work):
    caller = Caller()
    peppers = {"newer": "n" * 32, **settings_of()["KEY_PEPPERS"]}
    with site(caller, KEY_PEPPERS=peppers):
        before = context_of(caller.text).auth
        assert list(buffer._pending.rehashed) == [caller.row.pk]
        buffer._reset()
        work.clear()
        again = [context_of(caller.text) for _ in range(2)]
        assert work == {}
        assert not buffer._pending.rehashed
        # Under the new pepper alone, as other settings would have it.
        with override_settings(APIGUARD=settings_of(KEY_PEPPERS={"newer": "n" * 32})):
            assert outcome(caller) is Outcome.ADMITTED
    assert caller.row.pepper_id == "tests"
    assert {one.pepper_id for one in (before, *(context.auth for context in again))} == {"newer"}
    assert {context.verdict.outcome for context in again} == {Outcome.ADMITTED}


# -- no text is kept -------------------------------------------------------------------

OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def reachable(root):
    """All that can be found from an object by its references, but for code."""
    found, waiting = {}, [root]
    while waiting:
        one = waiting.pop()
        if id(one) in found or isinstance(one, OPAQUE):
            continue
        found[id(one)] = one
        waiting += gc.get_referents(one)
    return found.values()


def holds(objects, text):
    secret = text[-30:]
    return [
        one
        for one in objects
        if (isinstance(one, str) and secret in one)
        or (isinstance(one, bytes | bytearray) and secret.encode() in one)
    ]


def test_no_text_of_a_key_is_kept(work):
    caller = Caller()
    with site(caller) as snapshot:
        for scheme in ("", "Bearer", "ApiKey"):
            for text in (caller.text, forged(caller.text)):
                context = context_of(text, scheme)
        context = context_of(caller.text)
        assert context.credential is not None
        kept = list(reachable(snapshot.keyring))
        of_the_credential = list(reachable(context.credential))
    assert any(one is context.auth for one in kept)
    assert any(isinstance(one, str) and one == context.auth.digest for one in kept)
    assert holds(kept, caller.text) == []
    assert holds(kept, forged(caller.text)) == []
    assert holds(of_the_credential, caller.text) == []
    # The search finds what there is: a request has what it was sent.
    assert holds(reachable(context.facts), caller.text)
