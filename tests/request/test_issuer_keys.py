"""Tokens of an issuer whose keys are fetched, through both doors, also during an outage."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apiguard.errors import IssuerError
from apiguard.models import JwtIssuer
from apiguard.policy import jwks
from apiguard.policy.jwks import sources
from apiguard.request import pipeline
from apiguard.request.effects import peek, run
from apiguard.request.verdict import Outcome
from tests.key_server import answer
from tests.request.attacks import claims, iss
from tests.request.site import BAD_TOKEN, DOORS, Call, guarded, issuer, route
from tests.request.site import tier as tier_rows
from tests.request.site import token as site_token
from tests.signing import private_key, public_jwk, sign

URL = "https://issuer.test/keys"
OLD, NEW = public_jwk("ES256", "old"), public_jwk("ES256", "new", 2)
ALL_DOORS = pytest.mark.parametrize("door", DOORS)
PATHS = pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])


@pytest.fixture
def published(monkeypatch):
    """What the issuer answers, one after the other; an exception is an outage."""
    answers = []

    def fetch(*_):
        says = answers.pop(0)
        if isinstance(says, Exception):
            raise says
        return answer({"keys": says}).partition(b"\r\n\r\n")[2]

    monkeypatch.setattr(jwks, "fetch", fetch)
    # A machine that is busy with other tests is no issuer that hangs.
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 60)
    sources.forget()
    yield answers
    sources.forget()


def site(*copy, **options):
    stored = {"keys": list(copy), "url": URL} if copy else None
    row = JwtIssuer(
        name="es",
        issuer=iss("es"),
        audiences=["orders"],
        algorithms=["ES256"],
        jwks_url=URL,
        fetched_jwks=stored,
        fetched_at=timezone.now() if copy else None,
    )
    return guarded(route(access="credentials"), row, FAILED_CREDENTIALS_LIMIT=None, **options)


def token(kid, number):
    header = {"alg": "ES256", "kid": kid}
    return sign(header, claims("es"), "ES256", private_key("ES256", number))


def call(text, path="/api/plain"):
    headers = {"Authorization": f"Bearer {text}", "X-Request-ID": "the-id"}
    return Call(path=path, headers=headers)


AWAY = IssuerError("timeout", "", "It does not answer.")


@ALL_DOORS
@PATHS
def test_the_first_token_of_an_issuer_fetches_its_keys(published, door, path):
    published += [[OLD]]
    with site():
        assert DOORS[door](call(token("old", 1), path)).status_code == 200
        assert DOORS[door](call(token("old", 1), path)).status_code == 200


@ALL_DOORS
@PATHS
def test_a_stored_copy_lets_known_keys_in_while_the_issuer_is_away(published, door, path):
    with site(OLD):
        assert DOORS[door](call(token("old", 1), path)).status_code == 200


@ALL_DOORS
@PATHS
def test_a_new_key_is_fetched_and_the_old_one_stays_if_it_is_still_published(published, door, path):
    published += [[OLD, NEW]]
    with site(OLD):
        assert DOORS[door](call(token("new", 2), path)).status_code == 200
        assert DOORS[door](call(token("old", 1), path)).status_code == 200


@ALL_DOORS
@PATHS
def test_a_name_that_the_issuer_does_not_know_is_a_bad_token(published, door, path):
    published += [[OLD]]
    with site(OLD):
        for _ in range(50):
            refused = DOORS[door](call(token("nobody", 2), path))
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == BAD_TOKEN
    assert published == []


@ALL_DOORS
@PATHS
@pytest.mark.parametrize("copy", [(), (OLD,)], ids=["no key held", "keys held"])
def test_no_key_because_the_issuer_is_away_is_503_and_never_401(published, door, path, copy):
    published += [AWAY]
    with site(*copy):
        for _ in range(3):
            refused = DOORS[door](call(token("new", 2), path))
            assert refused.status_code == 503
            assert refused.json()["error"] == "service_unavailable"
            assert 1 <= int(refused.headers["Retry-After"]) <= 30
            assert "WWW-Authenticate" not in refused.headers
        if copy:
            assert DOORS[door](call(token("old", 1), path)).status_code == 200


@PATHS
def test_an_outage_is_not_held_against_whoever_calls(published, path):
    published += [AWAY]
    with site():
        answers = [call(token("new", 2), path).wsgi() for _ in range(100)]
    assert {answered.status_code for answered in answers} == {503}


def test_the_middleware_and_drf_send_the_same_bytes(published):
    published += [AWAY]
    text, kept = token("new", 2), ("Content-Type", "WWW-Authenticate", "Cache-Control")
    with site():
        answers = [call(text, path).wsgi() for path in ("/api/plain", "/api/drf/open")]
    with site(middleware=False):
        answers.append(call(text, "/api/drf/open").wsgi())
    seen = [{**answered.json(), "retryAfter": 0} for answered in answers]
    assert seen == [seen[0]] * 3
    headers = [{name: answered.headers.get(name) for name in kept} for answered in answers]
    assert headers == [headers[0]] * 3


def test_the_issuer_whose_keys_are_missing_is_recorded(published):
    published += [AWAY]
    with site():
        verdict = call(token("new", 2)).wsgi().wsgi_request.apiguard.verdict
    assert verdict.outcome is Outcome.ISSUER_KEYS_AWAY
    assert "'es'" in verdict.reason


def test_garbage_causes_no_fetch(published):
    other_alg = sign({"alg": "HS256", "kid": "x"}, claims("es"), "HS256", b"x" * 64)
    other_issuer = sign({"alg": "ES256", "kid": "x"}, claims("rs"), "ES256")
    bad_typ = sign({"alg": "ES256", "kid": "x", "typ": "x"}, claims("es"), "ES256")
    with site(OLD):
        for text in ("a.b.c", other_alg, other_issuer, bad_typ):
            assert call(text).wsgi().status_code == 401


def test_a_copy_of_fetched_keys_costs_no_query(published, db, django_assert_num_queries):
    with site(OLD), django_assert_num_queries(0):
        assert call(token("old", 1)).wsgi().status_code == 200
        assert call("a.b.c").wsgi().status_code == 401


@pytest.mark.parametrize(
    ("claim", "tier"),
    [("gold", "gold"), ("nobody", "base"), (["gold"], "base"), (5, "base"), (None, "base")],
    ids=str,
)
def test_a_claim_chooses_the_tier_if_it_names_one(claim, tier):
    base, gold, five = tier_rows("base", 10), tier_rows("gold", 100), tier_rows("5", 7)
    rows = (*base, *gold, *five, issuer(tier=base[0], tier_claim="plan"))
    with guarded(route(access="credentials"), *rows):
        bearer = {"Authorization": f"Bearer {site_token(plan=claim)}"}
        answered = Call(headers=bearer).wsgi()
    assert answered.headers["X-RateLimit-Limit"] == {"base": "10", "gold": "100"}[tier]


@pytest.mark.parametrize(
    ("name", "value", "scopes"),
    [
        ("scope", "a b", ["a", "b"]),
        ("scp", ["a", "b"], ["a", "b"]),
        ("scp", "a", ["a"]),
        ("scp", {"a": 1}, []),
        ("scp", None, []),
    ],
)
def test_a_claim_chooses_the_scopes(name, value, scopes):
    with guarded(route(access="credentials"), issuer(scope_claim=name)):
        text = site_token(**{"scope": None, name: value})
        answered = Call(headers={"Authorization": f"Bearer {text}"}).wsgi()
    assert answered.json()["scopes"] == scopes


@pytest.mark.parametrize("stored", [(), (OLD,)], ids=["no key is held", "the stored copy is held"])
def test_peeking_at_a_token_fetches_no_keys_and_makes_no_source(published, stored):
    with site(*stored) as snapshot:
        context = call(token("old", 1)).context(snapshot)
        outcome = run(pipeline.judge(context), context, peek).outcome
        assert outcome is (Outcome.ADMITTED if stored else Outcome.TOKEN_REFUSED)
        assert sources.find(next(iter(snapshot.issuers.values()))) is None
