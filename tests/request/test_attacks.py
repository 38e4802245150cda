"""The attack table, through the pure verifier and through every door."""

from __future__ import annotations

import time

import pytest

from apiguard.request.tokens import claimed_issuer, judge_token
from apiguard.request.verdict import REFUSALS, Outcome
from apiguard.rules import jwt
from apiguard.rules.jwt import TokenProblem, TokenRefused
from tests.request.attacks import ATTACKS, SECRETS, issuers, token
from tests.request.site import BAD_TOKEN, EXPIRED_TOKEN, MALFORMED, Call, guarded, route

CHALLENGES = {
    Outcome.TOKEN_REFUSED: BAD_TOKEN,
    Outcome.TOKEN_EXPIRED: EXPIRED_TOKEN,
    Outcome.CREDENTIAL_MALFORMED: MALFORMED,
}
EVERY_ATTACK = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def site(**options):
    return guarded(
        route(access="credentials"),
        *issuers(),
        FAILED_CREDENTIALS_LIMIT=None,
        JWT_SECRETS=SECRETS,
        **options,
    )


@pytest.fixture(scope="module")
def snapshot():
    with site() as compiled:
        assert compiled.problems == ()
        yield compiled


def verified(text, snapshot):
    """The pure verifier: all that is done with a token, without a request."""
    parsed = jwt.parse(text)
    issuer = claimed_issuer(parsed, snapshot.issuers)
    judge_token(parsed, issuer, issuer.keys, time.time())
    return issuer.name


def test_the_table_is_long_and_no_row_hides_another():
    assert len(ATTACKS) >= 120
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_every_reason_to_refuse_a_token_is_in_the_table():
    # What parse and claimed_issuer have seen, check_claims does not see again.
    elsewhere = {TokenProblem.BAD_ISSUER, TokenProblem.WRONG_ISSUER}
    assert {attack.problem for attack in ATTACKS} == set(TokenProblem) - elsewhere


ISSUERS = ["hs", "other", "at", "brief", "jwt", "strict", "rs", "ps", "es", "ed"]


@pytest.mark.parametrize("name", ISSUERS)
def test_a_good_token_of_every_issuer_gets_in(name, snapshot):
    assert verified(token(name), snapshot) == name
    with site():
        for path in ("/api/plain", "/api/drf/open"):
            answer = Call(path=path, headers={"Authorization": f"Bearer {token(name)}"}).wsgi()
            assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://issuer.example/keys"},
        {"jwk": {"kty": "EC"}},
        {"x5u": "https://issuer.example/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"x5t#S256": "AAAA"},
        {"cty": "JWT"},
        {"nonce": "AQAB"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["hs", "rs", "es"])
def test_what_a_header_says_of_keys_is_ignored_beside_a_good_signature(name, header, snapshot):
    assert verified(token(name, header), snapshot) == name


@pytest.mark.parametrize("kid", ["hs", "HS", "other", "../../dev/null", "k" * 256])
def test_the_kid_of_an_hmac_token_decides_nothing(kid, snapshot):
    assert verified(token("hs", {"kid": kid}), snapshot) == "hs"


def test_what_a_row_requires_may_be_one_of_several_values(snapshot):
    changes = [{"tenant": {"id": "t2"}}, {"tenant": {"id": ["t0", "t2"]}}, {"level": 1.0}]
    for changed in changes:
        assert verified(token("strict", **changed), snapshot) == "strict"


@EVERY_ATTACK
def test_the_verifier_refuses_it_for_one_reason(attack, snapshot):
    with pytest.raises(TokenRefused) as raised:
        verified(attack.token(), snapshot)
    assert raised.value.problem is attack.problem


def seen(answer):
    kept = ("WWW-Authenticate", "Content-Type", "Retry-After", "Cache-Control")
    return answer.status_code, answer.content, {name: answer.headers.get(name) for name in kept}


@EVERY_ATTACK
def test_the_middleware_and_drf_send_the_same_bytes_and_no_more(attack):
    headers = {"Authorization": f"Bearer {attack.token()}", "X-Request-ID": "the-id"}
    plain, drf = (Call(path=path, headers=headers) for path in ("/api/plain", "/api/drf/open"))
    with site():
        answers = [plain.wsgi(), drf.wsgi(), plain.asgi()]
    with site(middleware=False):
        answers.append(drf.wsgi())
    assert [seen(answer) for answer in answers] == [seen(answers[0])] * 4
    refusal = REFUSALS[attack.outcome]
    assert answers[0].status_code == refusal.status < 500
    assert answers[0].json()["detail"] == refusal.detail
    assert answers[0].headers["WWW-Authenticate"] == CHALLENGES[attack.outcome]


@EVERY_ATTACK
def test_the_reason_is_recorded(attack):
    call = Call(headers={"Authorization": f"Bearer {attack.token()}"})
    with site():
        context = call.wsgi().wsgi_request.apiguard
    assert context.verdict.outcome is attack.outcome
    if attack.outcome is not Outcome.CREDENTIAL_MALFORMED:
        assert context.verdict.reason == attack.problem
    assert context.credential is None
