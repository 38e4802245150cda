"""What verifying a credential costs, beside what else a project would install for it.

    python -m benchmarks.credentials

Everything in one process, without network or counter: from a request with its
header to the user and the token, as DRF asks an authentication class.
djangorestframework-api-key, a permission class, looks into its table each time:
here one row of SQLite in memory. djangorestframework-simplejwt is asked for a
user without a row, which is the cheapest that it has. The calls of one round
follow each other in mixed order, so that noise hits all alike; medians.
"signature" is the cryptography alone: what no verifier can go below. Needs
``requirements-bench.txt``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.tables import Table, progress, say

ISSUER = "https://issuer.example"
AUDIENCE = "orders"
SECRET = "benchmark-secret-" * 5
ROUNDS = 2000
COLUMNS = ("signature", "apiguard", "peer")


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of credential, and what is timed of it: a call for each column that there is."""

    name: str
    peer: str
    calls: Mapping[str, Callable[[], object]]


Made = tuple[list[Case], list[Any]]
"""Cases, and the rows of policy that ours need."""


def set_up() -> None:
    """Django, configured by nothing but this file."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    os.environ |= {
        "SECRETS_FILE": os.devnull,
        "SECRET_KEY": "benchmark-secret-key-" * 3,
        "JWT_SECRET": SECRET,
        "DATABASE_URL": "sqlite://:memory:",
        "APIGUARD_POLICY_MAX_AGE": "null",
        "APIGUARD_KEY_PEPPERS": json.dumps({"one": "benchmark-pepper-" * 3}),
    }
    import django
    from django.conf import settings

    settings.INSTALLED_APPS.append("rest_framework_api_key")
    django.setup()


def request(headers: Mapping[str, str]) -> Any:
    """A DRF request that nobody has looked at yet."""
    from django.http import HttpRequest
    from rest_framework.request import Request

    plain = HttpRequest()
    plain.method, plain.path, plain.path_info = "GET", "/api/orders", "/api/orders"
    plain.META = {"REMOTE_ADDR": "192.0.2.1", "SERVER_NAME": "localhost", **headers}
    return Request(plain)


# -- keys -------------------------------------------------------------------------


def key_cases() -> Made:
    """A key that has been seen before, in a site with a pepper."""
    from apiguard.models import Client, Tier
    from apiguard.rest_framework.authentication import ApiKeyAuthentication
    from apiguard.rules import keys
    from apiguard.testing import make_key

    client = Client(slug="acme", name="Acme", tier=Tier(slug="free", name="Free"))
    row, text = make_key(client)
    calls: dict[str, Callable[[], object]] = {
        "signature": partial(keys.digest, text, b"pepper" * 8),
        "apiguard": asks(ApiKeyAuthentication(), {"HTTP_X_API_KEY": text}),
        "peer": has_api_key(),
    }
    return [Case("key", "djangorestframework-api-key", calls)], [row]


def has_api_key() -> Callable[[], object]:
    """djangorestframework-api-key's permission, asked about a key of its own."""
    from django.db import connection
    from rest_framework_api_key.models import APIKey
    from rest_framework_api_key.permissions import HasAPIKey

    with connection.schema_editor() as editor:
        editor.create_model(APIKey)
    _, text = APIKey.objects.create_key(name="acme")
    permission, headers = HasAPIKey(), {"HTTP_AUTHORIZATION": f"Api-Key {text}"}

    def ask() -> object:
        if not permission.has_permission(request(headers), None):
            raise RuntimeError("Nobody was recognised.")
        return True

    return ask


# -- tokens ---------------------------------------------------------------------


def private_keys() -> dict[str, Any]:
    """One key for an algorithm of every family."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "HS256": SECRET.encode(),
        "RS256": rsa_key,
        "PS256": rsa_key,
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def token_cases() -> Made:
    """A token of every family, ours and simplejwt's judged by the same claims."""
    import jwt
    from jwt.algorithms import get_default_algorithms

    keys, cases, rows = private_keys(), [], []
    for algorithm, key in keys.items():
        rows.append(issuer_row(algorithm, key))
        text = jwt.encode(claims(algorithm), key, algorithm, headers=kid_of(algorithm))
        headers = {"HTTP_AUTHORIZATION": f"Bearer {text}"}
        signing_input, _, signature = text.rpartition(".")
        verifier, public = get_default_algorithms()[algorithm], public_half(key)
        raw = jwt.utils.base64url_decode(signature)
        calls: dict[str, Callable[[], object]] = {
            "signature": partial(verifier.verify, signing_input.encode(), public, raw),
            "apiguard": asks(our_class(), headers),
            "peer": asks(simplejwt(algorithm, key), headers),
        }
        cases.append(Case(f"token, {algorithm}", "simplejwt", calls))
    return cases, rows


def kid_of(algorithm: str) -> dict[str, str] | None:
    return None if algorithm == "HS256" else {"kid": "one"}


def public_half(key: Any) -> Any:
    return key if isinstance(key, bytes) else key.public_key()


def claims(algorithm: str) -> dict[str, Any]:
    """What both demand: simplejwt a type, an id and a user of its own, we a subject."""
    now = int(time.time())
    times = {"iat": now, "exp": now + 86_400}
    ours = {"iss": f"{ISSUER}/{algorithm}", "aud": AUDIENCE, "sub": "alice", "scope": "orders:read"}
    return {**ours, **times, "token_type": "access", "jti": "0123456789", "user_id": "alice"}


def issuer_row(algorithm: str, key: Any) -> Any:
    from jwt.algorithms import get_default_algorithms

    from apiguard.models import JwtIssuer

    source: dict[str, Any] = {"secret_name": "demo"}
    if algorithm != "HS256":
        name = "RS256" if algorithm == "PS256" else algorithm
        jwk = get_default_algorithms()[name].to_jwk(key.public_key(), as_dict=True)
        jwk.pop("key_ops", None)
        source = {"jwks": {"keys": [{**jwk, "kid": "one"}]}}
    named = {"name": algorithm, "issuer": f"{ISSUER}/{algorithm}", "audiences": [AUDIENCE]}
    return JwtIssuer(algorithms=[algorithm], **named, **source)


def route() -> Any:
    from apiguard.models import Route

    return Route(name="api", path_prefix="/api/", access="credentials")


def our_class() -> Any:
    from apiguard.rest_framework.authentication import JWTAuthentication

    return JWTAuthentication()


def simplejwt(algorithm: str, key: Any) -> Any:
    """simplejwt's class for users without a row, with this key."""
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
    from rest_framework_simplejwt.backends import TokenBackend
    from rest_framework_simplejwt.tokens import AccessToken

    backend = TokenBackend(
        algorithm,
        signing_key=key,
        verifying_key=public_half(key),
        audience=AUDIENCE,
        issuer=f"{ISSUER}/{algorithm}",
    )

    class Token(AccessToken):
        _token_backend = backend

    class Authentication(JWTStatelessUserAuthentication):
        def get_validated_token(self, raw_token: bytes) -> Any:
            return Token(raw_token)

    return Authentication()


def asks(authentication: Any, headers: Mapping[str, str]) -> Callable[[], object]:
    """One request to an authentication class; raises where it does not find a user."""

    def ask() -> object:
        found = authentication.authenticate(request(headers))
        if found is None:
            raise RuntimeError("Nobody was recognised.")
        return found

    return ask


# -- the table of cases ------------------------------------------------------------

CASES: Sequence[Callable[[], Made]] = (key_cases, token_cases)


def measure(cases: Sequence[Case], rounds: int) -> dict[tuple[str, str], float]:
    """(case, column) -> microseconds, the median of all rounds."""
    calls = {(case.name, column): call for case in cases for column, call in case.calls.items()}
    took: dict[tuple[str, str], list[int]] = {name: [] for name in calls}
    order = list(calls.items())
    for _ in range(rounds):
        random.shuffle(order)
        for name, call in order:
            begin = time.perf_counter_ns()
            call()
            took[name].append(time.perf_counter_ns() - begin)
    return {name: statistics.median(times) / 1000 for name, times in took.items()}


def table(cases: Sequence[Case], took: Mapping[tuple[str, str], float]) -> Table:
    """Microseconds by case; empty where there is nothing to compare."""
    rows = []
    for case in cases:
        figures = [took.get((case.name, column)) for column in COLUMNS]
        cells = ["" if figure is None else f"{figure:.0f}" for figure in figures]
        rows.append([case.name, *cells, case.peer])
    note = "Microseconds from a request with its header to its user; medians of one run."
    return Table("Verifying a credential", note, ["credential", *COLUMNS, "the peer"], rows)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    set_up()
    from apiguard.testing import override_policy

    made = [make() for make in CASES]
    cases = [case for some, _ in made for case in some]
    with override_policy(*(row for _, rows in made for row in rows), route()):
        progress(f"credentials: {len(cases)} cases, {options.rounds:,} rounds")
        measure(cases, max(1, options.rounds // 20))  # Warm: nothing is imported or compiled later.
        printed = table(cases, measure(cases, options.rounds))
    say(printed.markdown() if options.markdown else printed.text())


if __name__ == "__main__":
    main()
