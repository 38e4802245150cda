"""Random and mutated tokens, keys and headers: nothing but a verdict ever comes of them.

A few thousand in every run; ``APIGUARD_FUZZ=1000000`` reads a million. The
numbers are drawn from a seed, so that a run can be repeated.
"""

from __future__ import annotations

import os
import random

import pytest

from apiguard import conf
from apiguard.request import credentials
from apiguard.request.context import GuardContext
from apiguard.request.effects import run
from apiguard.request.facts import facts_of
from apiguard.request.verdict import REFUSALS
from tests.request.attacks import ATTACKS, SECRETS, issuers, token
from tests.request.site import Caller, guarded, route
from tests.signing import b64

ROUNDS = int(os.environ.get("APIGUARD_FUZZ", "4000"))
LETTERS = "ABZaz09-_=.+/ ,\t\n\r\x00\x7f\u00e9\ud800\U0001f600\"'{}[]:%"
JSON_BITS = ('"alg"', '"kid"', ":", ",", "{", "}", "[", "]", '"', "\\u", "1e9", "NaN", "null", "-")


def samples(caller):
    good = [token(name) for name in ("hs", "rs", "es", "ed", "at")]
    bad = [text for attack in ATTACKS[::7] if len(text := attack.token()) < 2000]
    return [*good, *bad, caller.text, "", "ag_live_", "a.b.c", "Bearer"]


def mutant(text, dice):
    letters = list(text)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(letters) + 1)
        kind = dice.random()
        if kind < 0.5:
            letters[at : at + 1] = dice.choice(LETTERS)
        elif kind < 0.7:
            del letters[at : at + dice.randint(1, 40)]
        elif kind < 0.9:
            letters[at:at] = letters[: dice.randint(0, 40)]
        else:
            letters[at:at] = dice.choice(LETTERS) * dice.randint(1, 200)
    return "".join(letters)


def document(dice):
    """Something like JSON, where a token has it."""
    return "".join(dice.choices(JSON_BITS, k=dice.randint(0, 30))).encode()


def offered(known, dice):
    kind = dice.random()
    if kind < 0.6:
        return mutant(dice.choice(known), dice)
    if kind < 0.8:
        parts = (document(dice), document(dice), dice.randbytes(dice.randint(0, 80)))
        return ".".join(b64(part) for part in parts)
    return "".join(dice.choices(LETTERS, k=dice.randint(0, 60)))


def headers(known, dice):
    value = offered(known, dice)
    scheme = dice.choice(
        ["Bearer ", "bearer ", "ApiKey ", "Basic ", "", " Bearer\t", mutant("Bearer ", dice)]
    )
    found = {"HTTP_AUTHORIZATION": scheme + value}
    if dice.random() < 0.2:
        found = {"HTTP_X_API_KEY": value}
    return found


@pytest.mark.parametrize("access", ["credentials", "public"])
def test_whatever_is_offered_there_is_a_verdict_and_nobody_gets_in(access):
    dice, caller = random.Random(23), Caller()
    members = {"FAILED_CREDENTIALS_LIMIT": None, "JWT_SECRETS": SECRETS}
    with guarded(route(access=access), *issuers(), *caller.rows, **members) as snapshot:
        settings, known = conf.current(), samples(caller)
        good = {text for text in known if text}
        for _ in range(ROUNDS // 2):
            meta = {"REMOTE_ADDR": "192.0.2.1", **headers(known, dice)}
            facts = facts_of(meta, "GET", settings, secure=False)
            context = GuardContext(facts, settings, snapshot, snapshot.routes.find("/api/plain"))
            verdict = run(credentials.verify_credential(context), context)
            if verdict is not None:
                assert REFUSALS[verdict.outcome].status in (400, 401)
            elif context.credential is not None:
                sent = next(reversed(meta.values())).strip(" \t")
                assert any(text in sent for text in good), sent
