"""An explanation says what a request would be told, and everything else that does not hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.policy.compilers.issuers import issuer_policy
from apiguard.rules.jwt import TokenProblem as P
from apiguard.rules.jwt_explain import explain_token
from tests.examples import examples
from tests.request.attacks import ATTACKS, SECRETS, issuers, token
from tests.request.test_attacks import ISSUERS


@pytest.fixture
def policies(settings):
    settings.APIGUARD = {**settings.APIGUARD, "JWT_SECRETS": SECRETS}
    return {row.issuer: issuer_policy(row) for row in issuers()}


def explain(text, policies, name="hs"):
    policy = policies[f"https://{name}.example"]
    return explain_token(text, policy.rules, policy.keys, time.time())


@pytest.mark.parametrize("name", ISSUERS)
def test_a_good_token_holds_in_every_respect(name, policies):
    explained = explain(token(name), policies, name)
    assert explained.problem is None
    assert explained.is_signed
    assert {found.subject for found in explained.findings} >= {"iss", "alg", "kid", "sub", "exp"}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_first_thing_that_does_not_hold_is_the_reason_of_the_refusal(attack, policies):
    text = attack.token()
    explained = explain(text, policies)
    claimed = explained.claims.get("iss")
    if isinstance(claimed, str) and claimed in policies and attack.problem is not P.UNKNOWN_ISSUER:
        policy = policies[claimed]
        explained = explain_token(text, policy.rules, policy.keys, time.time())
    assert explained.problem is attack.problem


def test_everything_that_does_not_hold_is_found_at_once(policies):
    text = token("strict", client_id="x", token_use="id", tenant={"id": "t3"}, exp=1)
    explained = explain(text, policies, "strict")
    wrong = {found.subject: found.problem for found in explained.findings if found.problem}
    assert wrong == {
        "client_id": P.WRONG_AUDIENCE,
        "token_use": P.WRONG_CLAIM,
        "tenant.id": P.WRONG_CLAIM,
        "exp": P.EXPIRED,
    }
    assert ("level", 1, None, False) in explained.findings


def test_a_time_that_is_none_is_named_and_the_others_are_not(policies):
    explained = explain(token("hs", nbf="soon", exp=None), policies)
    wrong = [(found.subject, found.problem) for found in explained.findings if found.problem]
    assert wrong == [("nbf", P.BAD_TIME), ("exp", P.MISSING_EXP)]
    assert ("iat", None) in [(found.subject, found.problem) for found in explained.findings]


def test_a_forged_token_is_not_called_signed(policies):
    forged = token("hs")[:-4] + "AAAA"
    explained = explain(forged, policies)
    assert not explained.is_signed
    assert explained.claims["sub"] == "alice"


@settings(max_examples=examples(80), deadline=None)
@given(st.text() | st.builds(lambda end: token("hs") + end, st.text(max_size=3)))
def test_no_text_raises(text):
    rows = {row.name: row for row in issuers()}
    policy = issuer_policy(rows["es"])
    explain_token(text, policy.rules, policy.keys, 0)
