"""Every bad key costs and reads the same; only the operators learn why it was refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apiguard.models import ApiKey, Client, Route
from apiguard.rules import keys
from tests.request.site import Call, guarded

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
NOW = timezone.now()
ELSEWHERE = ["192.0.2.0/24"]

# Outcome -> what is done to a good key and its client.
BAD = {
    "key_unknown": ({}, {}),
    "key_wrong_secret": ({"digest": "0" * 64}, {}),
    "key_revoked": ({"revoked_at": NOW, "revoke_reason": "lost"}, {}),
    "key_expired": ({"expires_at": NOW - HOUR}, {}),
    "key_not_yet_valid": ({"not_before": NOW + HOUR}, {}),
    "key_wrong_network": ({"allowed_networks": ELSEWHERE}, {}),
    "key_broken": ({"scopes": ["a b"]}, {}),
    "client_disabled": ({}, {"enabled": False}),
    "client_wrong_network": ({}, {"allowed_networks": ELSEWHERE}),
}


@pytest.fixture
def keys_of():
    """Outcome -> the text of a stored key that is refused for it."""
    texts = {}
    for outcome, (of_key, of_client) in BAD.items():
        client = Client.objects.create(slug=outcome.replace("_", "-"), name="C", **of_client)
        key, texts[outcome] = ApiKey.objects.issue(client, outcome)
        if of_key:
            ApiKey.objects.filter(pk=key.pk).update(name=outcome, **of_key)
        if outcome == "key_unknown":
            texts[outcome] = keys.generate("ag", "live").text
    return texts


@pytest.fixture
def work(monkeypatch):
    """The digests that a request took: how much was hashed, and whether with a pepper."""
    done = []
    digest = keys.digest

    def counting(text, pepper):
        done.append((len(text), pepper is not None))
        return digest(text, pepper)

    monkeypatch.setattr(keys, "digest", counting)
    return done


def ask(path, text, work):
    """One request: what it was answered, and what that cost."""
    work.clear()
    headers = {"X-API-Key": text, "X-Request-ID": "the-id"}
    with CaptureQueriesContext(connection) as queries:
        response = Call(path=path, headers=headers).wsgi()
    told = {name: value for name, value in response.headers.items() if name != "Date"}
    return (response.status_code, response.content, told), (len(queries), list(work))


@pytest.mark.parametrize(
    ("path", "middleware"),
    [
        pytest.param("/api/plain", True, id="middleware"),
        pytest.param("/api/drf", True, id="both"),
        pytest.param("/api/drf", False, id="DRF alone"),
    ],
)
def test_bad_keys_read_and_cost_the_same_cold_and_warm(keys_of, work, path, middleware, caplog):
    caplog.set_level("INFO", logger="apiguard.refusals")
    route = Route(name="api", path_prefix="/api/", access="credentials")
    answers, cold, warm, said = {}, {}, {}, {}
    for outcome, text in keys_of.items():
        caplog.clear()
        with guarded(route, middleware=middleware, look_up=True, FAILED_CREDENTIALS_LIMIT=None):
            first, cold[outcome] = ask(path, text, work)
            again, warm[outcome] = ask(path, text, work)
        assert first == again
        answers[outcome] = first
        ours = [record for record in caplog.records if record.name == "apiguard.refusals"]
        said[outcome] = {record.apiguard_outcome for record in ours}
    status, body, headers = answers["key_unknown"]
    assert status == 401
    assert b"invalid_api_key" in body
    assert {repr(answer) for answer in answers.values()} == {repr((status, body, headers))}
    digest = (len(keys_of["key_unknown"]), True)
    assert set(map(repr, cold.values())) == {repr((1, [digest]))}
    assert set(map(repr, warm.values())) == {repr((0, [digest]))}
    assert said == {outcome: {outcome} for outcome in BAD}


def test_both_doors_send_the_same_bytes(keys_of, work):
    route = Route(name="api", path_prefix="/api/", access="credentials")
    for text in keys_of.values():
        bodies = []
        for middleware in (True, False):
            with guarded(route, middleware=middleware, look_up=True):
                (status, body, headers), _ = ask("/api/drf", text, work)
            bodies.append((status, body, headers["WWW-Authenticate"], headers["Content-Type"]))
        assert bodies[0] == bodies[1]
