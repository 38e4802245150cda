"""``apiguard token``: a token of an HMAC issuer, for trying things out.

The token is signed with the issuer's secret of the settings and then judged
by the issuer's own rules: what is printed is a token that requests may bring.
"""

from __future__ import annotations

import secrets
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import jwt

from ... import conf
from ...errors import PolicyError
from ...models import JwtIssuer
from ...policy.compile import compile_rows
from ...policy.rows import Rows
from ...policy.snapshot import IssuerPolicy
from ...request.tokens import claimed_issuer, judge_token
from ...rules import jwt as jwt_rules
from ...rules.jwt import TokenRules
from ...rules.scopes import check_registered, parse_scopes
from ._console import (
    Console,
    Options,
    SubCommand,
    moment,
    named,
    refused,
    used_wrongly,
    whole_number,
)

LIFETIME = 3600
MAX_LIFETIME = 366 * 86_400


def arguments(parser: ArgumentParser) -> None:
    """``--issuer NAME --sub SUB [--scope S] [--expires-in SECONDS]``."""
    parser.add_argument("--issuer", required=True, metavar="NAME", help="name of the issuer's row")
    parser.add_argument("--sub", required=True, help="the subject: whom the token is about")
    parser.add_argument("--scope", default="", help='space-separated, such as "orders:read"')
    parser.add_argument(
        "--expires-in",
        type=whole_number(1, MAX_LIFETIME),
        metavar="SECONDS",
        help=f"default: {LIFETIME}, or less where the issuer allows less",
    )


def run(console: Console, options: Options) -> None:
    """Print one token; exit status 2 where requests could not bring it."""
    row: JwtIssuer = named(JwtIssuer, "name", options["issuer"])
    issuer = _issuer(row)
    now = int(time.time())
    claims = _claims(row, options, now)
    token = _signed(row, issuer.rules, claims)
    _judge(token, issuer, now)
    expires_at = moment(datetime.fromtimestamp(claims["exp"], UTC))
    console.note(f"The token follows, on standard output. It is good until {expires_at}.")
    data = {
        "token": token,
        "issuer": row.name,
        "sub": claims["sub"],
        "scope": jwt_rules.claim_at(claims, row.scope_claim, ""),
        "expires_at": expires_at,
    }
    console.answer(data, [token])


def _issuer(row: JwtIssuer) -> IssuerPolicy:
    """What requests hold this issuer's tokens against."""
    listed = row.algorithms if isinstance(row.algorithms, list) else []
    if any(not str(name).startswith("HS") for name in listed):
        raise used_wrongly(
            f"The issuer {row.name!r} signs with a private key that is not kept here. "
            "Get a token from the issuer itself, or name an issuer with an HS algorithm."
        )
    if not row.enabled:
        raise used_wrongly(f"The issuer {row.name!r} is not enabled: its tokens are refused.")
    snapshot = compile_rows(Rows(issuers=(row,)))
    if snapshot.problems:
        raise refused(snapshot.problems[0].error, f"The issuer {row.name!r} accepts no token")
    return snapshot.issuers[row.issuer]


def _claims(row: JwtIssuer, options: Options, now: int) -> dict[str, Any]:
    lifetime = options["expires_in"] or min(LIFETIME, row.max_lifetime or LIFETIME)
    scope = _scope(options["scope"])
    claims: dict[str, Any] = {
        "iss": row.issuer,
        "sub": options["sub"],
        "iat": now,
        "exp": now + lifetime,
        "jti": secrets.token_urlsafe(16),
    }
    _put(claims, row.audience_claim, row.audiences[0])
    for name, required in row.required_claims.items():
        _put(claims, name, required[0] if isinstance(required, list) else required)
    if scope:
        _put(claims, row.scope_claim, scope)
    return claims


def _put(claims: dict[str, Any], path: str, value: Any) -> None:
    """Write a claim where the issuer's rules read it: at its path, or as the whole name."""
    *heads, last = [path] if "/" in path else path.split(".")
    for head in heads:
        inner = claims.setdefault(head, {})
        if not isinstance(inner, dict):
            raise used_wrongly(f"The claim {path!r} lies inside {head!r}, which is no object.")
        claims = inner
    claims.setdefault(last, value)


def _scope(text: str) -> str:
    try:
        scopes = parse_scopes(text.split())
    except PolicyError as error:
        raise refused(error, "The scope cannot be granted") from error
    for unknown in check_registered(scopes, conf.current().scopes):
        raise refused(unknown, "The scope cannot be granted")
    return " ".join(scopes)


def _signed(row: JwtIssuer, rules: TokenRules, claims: dict[str, Any]) -> str:
    token_type = rules.token_types[0] or None  # PyJWT leaves out a type that is None.
    secret = conf.current().jwt_secrets[row.secret_name][0]
    return jwt.encode(claims, secret, row.algorithms[0], headers={"typ": token_type})


def _judge(token: str, issuer: IssuerPolicy, now: int) -> None:
    try:
        parsed = jwt_rules.parse(token)
        judge_token(parsed, claimed_issuer(parsed, {issuer.rules.issuer: issuer}), issuer.keys, now)
    except jwt_rules.TokenRefused as error:
        raise used_wrongly(
            f"Such a token would be refused ({error.problem.value}). "
            "See what the issuer's row allows: longest lifetime, subject, token types."
        ) from error


COMMAND = SubCommand(
    "token", "Sign a token of an HMAC issuer, for trying things out.", run, arguments
)
