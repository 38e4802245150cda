"""``apiguard token``: a token of an HMAC issuer, for trying things out.

The token is signed with the issuer's secret of the settings and then judged
by the issuer's own rules: what is printed is a token that requests may bring.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import UTC, datetime

from ... import conf
from ...errors import PolicyError
from ...models import JwtIssuer
from ...policy.compile import compile_rows
from ...policy.compilers.issuers import token_template
from ...policy.rows import Rows
from ...policy.snapshot import IssuerPolicy
from ...request.tokens import claimed_issuer, judge_token
from ...rules import jwt as jwt_rules
from ...rules.jwt_sign import LIFETIME, BadClaimPath, build_claims, sign
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
    template = token_template(row, issuer.rules)
    scope, lifetime = _scope(options["scope"]), options["expires_in"]
    try:
        claims = build_claims(template, options["sub"], scope, now, lifetime)
    except BadClaimPath as error:
        raise used_wrongly(str(error)) from error
    token = sign(template, claims, conf.current().jwt_secrets[row.secret_name][0])
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
    """Return what requests hold this issuer's tokens against."""
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


def _scope(text: str) -> str:
    try:
        scopes = parse_scopes(text.split())
    except PolicyError as error:
        raise refused(error, "The scope cannot be granted") from error
    for unknown in check_registered(scopes, conf.current().scopes):
        raise refused(unknown, "The scope cannot be granted")
    return " ".join(scopes)


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
