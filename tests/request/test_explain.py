"""An explanation agrees with what the guard then answers, and changes nothing."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter

import jwt
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from apiguard import conf
from apiguard.counters.memory import MemoryCounter
from apiguard.models import ApiKey, Client
from apiguard.policy import jwks
from apiguard.request import failed_credentials, pipeline
from apiguard.request.effects import limit_counter, run
from apiguard.request.explain import REQUEST_ID
from apiguard.request.verdict import Outcome
from apiguard.rules import keys
from apiguard.rules.redaction import redact
from apiguard.telemetry.buffer import buffer
from apiguard.testing import explain
from tests.request.site import (
    ALLOWED,
    FOREIGN,
    Call,
    Caller,
    cors,
    guarded,
    headers,
    issuer,
    route,
    tampered,
    tier,
    token,
)
from tests.signing import rsa_key

# Policies, and requests to each: a longer run is EXPLAIN_POLICIES=500.
POLICIES = int(os.environ.get("EXPLAIN_POLICIES", "25"))
REQUESTS = 6


@pytest.fixture
def _fixed_clock(monkeypatch):
    """No time passes between an explanation and the request, whatever reads the clock."""
    seconds, monotonic = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: seconds)
    monkeypatch.setattr(time, "time_ns", lambda: int(seconds * 10**9))
    monkeypatch.setattr(time, "monotonic", lambda: monotonic)


class World:
    """A random policy, and random requests that hit and miss its rules."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        pick, chance = self.random.choice, self.chance
        self.tiers = [
            tier(name, *self.random.sample([1, 2, 3, 5], pick([0, 1, 2])), mode=mode)
            for name in ("anonymous", "own", "users")
            for mode in [pick(["enforce", "enforce", "shadow"])]
        ]
        anonymous, own, users = (rows[0] for rows in self.tiers)
        self.callers = [
            Caller(
                scopes=tuple(self.random.sample(["orders:read", "orders:write"], pick([0, 1, 2]))),
                tier=pick([own, None]),
                key_fields=fields,
                client_fields={"slug": f"client-{number}", **client_fields},
            )
            for number, (fields, client_fields) in enumerate(
                [
                    ({}, {}),
                    ({"environment": "test"}, {}),
                    ({"allowed_networks": ["192.0.2.0/24"]}, {}),
                    ({}, {"enabled": False}),
                    ({}, {"allowed_networks": ["127.0.0.0/8"]}),
                ]
            )
        ]
        policy = cors(
            ALLOWED,
            refuse_foreign_origins=chance(0.5),
            allow_credentials=chance(0.5),
        )
        rules = headers(
            ("X-Frame-Options", "DENY", "force", "always"),
            ("Cache-Control", "no-store", "default", "always"),
            ("Strict-Transport-Security", "max-age=60", "force", "https"),
            ("X-Content-Type-Options", "none", "remove", "always"),
        )
        fields = {
            "access": pick(["public", "credentials", "credentials", "application"]),
            "mode": pick(["enforce", "enforce", "enforce", "observe", "off"]),
            "cost": pick([1, 1, 2]),
            "cors_policy": pick([policy[0], None]),
            "header_policy": pick([rules[0], None]),
            "anonymous_tier": pick([anonymous, None]),
        }
        if fields["access"] == "credentials":
            fields["required_scopes"] = pick([[], ["orders:read"], ["orders:read", "orders:write"]])
        if fields["access"] == "application":
            fields["user_tier"] = pick([users, None])
        fields |= pick(
            [
                {},
                {},
                {"methods": ["GET", "POST", "OPTIONS"]},
                {"accepts": ["application/json"], "max_body_bytes": 20},
                {"produces": ["application/json"]},
            ]
        )
        trusted = issuer(tier=pick([own, None]))
        rows = [*policy, *rules, trusted, route(**fields)]
        self.rows = rows + [row for rows in self.tiers for row in rows]
        self.rows += [row for caller in self.callers for row in caller.rows]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def credential(self) -> dict[str, str]:
        caller = self.random.choice([*self.callers, self.callers[0], self.callers[0]])
        other = keys.generate("ag", "live").text
        return self.random.choice(
            [
                {},
                {},
                {"X-API-Key": caller.text},
                {"Authorization": f"Bearer {caller.text}"},
                {"Authorization": f"ApiKey {caller.text}"},
                {"X-API-Key": other},
                {"X-API-Key": "garbage"},
                {"X-API-Key": f"{caller.text[:-7]}{other[-7:]}"},
                {"X-API-Key": caller.text, "Authorization": f"Bearer {caller.text}"},
                {"X-API-Key": "a b"},
                {"Authorization": f"Bearer {token()}"},
                {"Authorization": f"Bearer {token(scope='')}"},
                {"Authorization": f"Bearer {token(exp=1)}"},
                {"Authorization": f"Bearer {tampered(token())}"},
                {"Authorization": f"Bearer {token(iss='https://other.example')}"},
                {"Authorization": "Basic dTpw"},
            ]
        )

    def call(self) -> Call:
        pick = self.random.choice
        sent = self.credential()
        if self.chance(0.3):
            sent["Origin"] = pick([ALLOWED, FOREIGN, "null", "http://testserver"])
        if self.chance(0.2):
            sent["Access-Control-Request-Method"] = pick(["GET", "PUT", "DELETE"])
            sent["Access-Control-Request-Headers"] = pick(["authorization", "x-other", ""])
        if self.chance(0.3):
            sent["Accept"] = pick(["application/json", "text/html", "image/png;q=0"])
        if self.chance(0.05):
            sent["Host"] = "unknown.example"
        if self.chance(0.3):
            sent["X-Request-ID"] = "given"
        return Call(
            method=pick(["GET", "GET", "POST", "OPTIONS", "DELETE"]),
            path=pick(["/api/plain", "/api/plain", "/api/missing", "/elsewhere"]),
            headers=sent,
            body=pick([b"", b"", b"{}", b"x" * 30]),
            content_type=pick(["application/json", "text/plain", "application/json; charset=hex"]),
            secure=self.chance(0.5),
        )


def explained(call, view_response=None):
    """The explanation of a call, through the function that users have."""
    body = {"Content-Type": call.content_type} if call.body else {}
    return explain(
        call.method,
        call.path,
        headers={**body, **call.headers},
        body=call.body,
        secure=call.secure,
        view_response=view_response,
    )


def traces(snapshot):
    """Everything in this process that a request may change, as text."""
    settings = conf.current()
    counter = limit_counter(settings)._counter
    assert isinstance(counter, MemoryCounter)
    failures = failed_credentials.failures(settings)
    return {
        "limits": repr(sorted(counter._held.items())),
        "failures": repr(sorted(failures._counter._held.items())),
        "look-ups": repr(failures._looked_up.values()),
        "keyring": repr(snapshot.keyring._records.values()),
        "verified": len(snapshot.keyring._callers),
        "unknown": len(snapshot.keyring._unknown),
        "issuers": repr(jwks.sources._sources),
        "rows to write": repr(
            vars(buffer._pending)
            if hasattr(buffer._pending, "__dict__")
            else [getattr(buffer._pending, name) for name in buffer._pending.__slots__]
        ),
        "refusals to write": repr(vars(buffer.refusals._sample)),
    }


def names(vary: str) -> set[str]:
    return {name.strip() for name in vary.split(",")} - {""}


VOLATILE = {"x-request-id", "date", "content-length"}


def lower(pairs):
    return {name.lower(): value for name, value in pairs if name.lower() not in VOLATILE}


def check(call, snapshot, view_response):
    """Explain, then send; both agree, and explaining has changed nothing."""
    before = traces(snapshot)
    own = lower(view_response.headers.items())
    answer = explained(call, view_response)
    assert explained(call) is not None
    assert traces(snapshot) == before
    real = call.wsgi()
    sent = lower(real.headers.items())
    this_id = real.headers.get("X-Request-ID", "")
    if answer.status is not None:
        assert answer.status == real.status_code
        mine = lower(answer.headers)
        if answer.deciding.stage == "view_limits":
            # Such a refusal goes out through the other middleware, which adds headers of its own.
            varies = names(sent.pop("vary", ""))
            assert names(mine.pop("vary", "")) <= varies
            assert mine.items() <= sent.items()
        else:
            assert mine == sent
        assert answer.body.replace(REQUEST_ID, this_id) == real.content.decode()
    else:
        added = lower(answer.headers)
        # What a view varies by depends on its user: who has a credential needs no cookie.
        wanted, varies = names(added.pop("vary", "")), names(sent.get("vary", ""))
        assert wanted - names(own.get("vary", "")) <= varies
        assert added.items() <= sent.items()
        assert set(sent) - set(own) - {"vary"} <= set(added)
    assert ("X-Request-ID" in dict(answer.headers)) == bool(this_id)
    if dict(answer.headers).get("X-Request-ID", REQUEST_ID) != REQUEST_ID:
        assert dict(answer.headers)["X-Request-ID"] == this_id
    check_refusal(answer, real)
    left = {one.row.name: one.remaining for one in answer.limits if not one.shadow}
    for item in real.headers.get("RateLimit", "").split(", "):
        if item:
            name, rest = item.split(";r=")
            assert left[name.strip('"')] == int(rest.split(";")[0])
    return answer


def check_refusal(answer, real):
    """The row that is kept of the request says what the explanation says."""
    at = time.monotonic()
    kept = buffer.refusals._sample.take(at).kept
    # The clock stands still, and a second keeps only so many.
    buffer.refusals._sample._written = 0
    if not answer.would_refuse:
        assert [each.outcome for each in kept] in ([], ["view_answered"])
        return
    (refusal,) = kept
    step = answer.deciding
    assert (refusal.outcome, refusal.enforced) == (answer.outcome, answer.refused)
    assert refusal.reason == redact(step.reason, "ag", 1000)
    row = ("", "", "") if step.row is None else step.row
    assert (refusal.row_model, refusal.row_pk, refusal.row_name) == (row[0], str(row[1]), row[2])
    assert (refusal.route_pk, refusal.revision) == (answer.route.pk, answer.revision)
    assert refusal.status == (real.status_code if answer.refused else refusal.status)


def unguarded(calls):
    """What the view and the middleware behind the guard answer, as responses of their own."""
    answers = []
    with guarded(middleware=False):
        for call in calls:
            real = call.wsgi()
            answer = HttpResponse(b"", status=real.status_code)
            del answer.headers["Content-Type"]
            for name, value in real.headers.items():
                answer.headers[name] = value
            answers.append(answer)
    return answers


@pytest.mark.usefixtures("_fixed_clock")
@pytest.mark.django_db
@pytest.mark.parametrize("part", range(5))
def test_an_explanation_agrees_with_the_answer_and_changes_nothing(part, caplog):
    caplog.set_level("CRITICAL")
    outcomes = Counter()
    for seed in range(part, POLICIES, 5):
        world = World(seed)
        members = {
            "FAILED_CREDENTIALS_LIMIT": world.random.choice(["60/min", "2/min"]),
            "ALLOW_TEST_KEYS": world.chance(0.5),
            "ERROR_FORMAT": world.random.choice(["problem", "problem", "simple"]),
        }
        failed_credentials.forget()
        calls = [world.call() for _ in range(REQUESTS)]
        views = unguarded(calls)
        with guarded(*world.rows, **members) as snapshot:
            for call, view_response in zip(calls, views, strict=True):
                try:
                    outcomes[check(call, snapshot, view_response).outcome] += 1
                except AssertionError as error:
                    error.add_note(f"seed {seed}: {call}")
                    raise
    assert len(outcomes) >= 4


@pytest.mark.django_db
def test_a_key_that_is_not_held_is_read_and_neither_kept_nor_written():
    client = Client.objects.create(slug="acme", name="Acme")
    row, text = ApiKey.objects.issue(client, "laptop", ("orders:read",))
    ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    with guarded(route(access="credentials"), look_up=True) as snapshot:
        before = traces(snapshot)
        with CaptureQueriesContext(connection) as queries:
            answer = explain("GET", "/api/plain", headers={"X-API-Key": text})
        assert traces(snapshot) == before
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]
    assert answer.deciding.row == ("apikey", row.pk, "laptop")
    assert answer.deciding.reason.startswith(f"key {row.key_id} (laptop) expired at ")
    assert text not in repr(answer) + json.dumps(answer.as_dict())


def test_a_key_that_an_issuer_may_have_published_is_not_fetched_and_is_named(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("the network is used"))
    elsewhere = issuer(secret_name="", algorithms=["RS256"], jwks_url="https://keys.example/jwks")
    text = jwt.encode(
        {"iss": "https://issuer.example"}, rsa_key(2048), "RS256", headers={"kid": "new"}
    )
    with guarded(route(access="credentials"), elsewhere):
        answer = explain("GET", "/api/plain", headers={"Authorization": f"Bearer {text}"})
    assert answer.deciding.row == ("jwtissuer", elsewhere.pk, "tests")
    assert any("has published the token's key since" in unknown for unknown in answer.unknowns)


@pytest.mark.parametrize(
    ("fields", "sent", "reason"),
    [
        ({"methods": ["GET"]}, {"method": "PUT"}, "the route takes GET, HEAD; the method is PUT"),
        (
            {"max_body_bytes": 5},
            {"method": "POST", "body": b"123456"},
            "the route takes 5 bytes; the body has 6",
        ),
        (
            {"produces": ["application/json"]},
            {"headers": {"Accept": "text/html"}},
            "the route answers application/json; Accept is 'text/html'",
        ),
        (
            {"accepts": ["application/json"]},
            {"method": "POST", "body": b"x", "headers": {"Content-Type": "text/plain"}},
            "the route accepts application/json; Content-Type 'text/plain' is not listed",
        ),
        (
            {"access": "credentials"},
            {},
            "the route wants a credential; none of apiguard's was sent",
        ),
    ],
)
def test_a_reason_names_both_sides(fields, sent, reason):
    row = route(**fields)
    with guarded(row):
        answer = explain(**{"method": "GET", "path": "/api/plain", **sent})
    assert answer.deciding.reason == reason
    assert answer.deciding.row == ("route", row.pk, "/api/")


@pytest.mark.usefixtures("_fixed_clock")
def test_a_limit_names_what_is_used_and_when_more_fits():
    limits = tier("anonymous", 2)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        for _ in range(2):
            assert Call().wsgi().status_code == 200
        answer = explain("GET", "/api/plain")
    assert answer.deciding.reason == "used 2 of 2 per hour; 1 more in 3600 s"
    assert answer.deciding.row == ("limit", limits[1].pk, "anonymous-1")


def test_a_foreign_origin_names_the_policy():
    policy = cors(ALLOWED)
    with guarded(route(cors_policy=policy[0]), *policy):
        answer = explain("GET", "/api/plain", headers={"Origin": FOREIGN})
    assert answer.deciding.reason == f"origin {FOREIGN} is not in browsers"
    assert answer.deciding.row == ("corspolicy", policy[0].pk, "browsers")


def test_explaining_counts_nothing_in_redis_either(redis_url):
    alias = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    limits = tier("anonymous", 2)
    with (
        override_settings(CACHES={**django_settings.CACHES, "counted": alias}),
        guarded(
            route(anonymous_tier=limits[0]), *limits, COUNTER="counted", TESTING=False
        ) as snapshot,
        redis.Redis.from_url(redis_url) as store,
    ):
        for _ in range(3):
            assert [one.remaining for one in explain("GET", "/api/plain").limits] == [1]
        assert store.keys() == []
        context = Call().context(snapshot)
        assert run(pipeline.judge(context), context).outcome is Outcome.ADMITTED
        kept = {key: store.dump(key) for key in store.scan_iter()}
        assert [one.remaining for one in explain("GET", "/api/plain").limits] == [0]
        assert kept == {key: store.dump(key) for key in store.scan_iter()}
        assert kept
