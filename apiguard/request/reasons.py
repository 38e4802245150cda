"""Why a request was refused, in words with both sides, and the row that decided it.

A ``Verdict`` is for responses and counts; this is for people. No text holds a
secret: a key is named by its id, a token by its issuer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.views.decorators.debug import sensitive_variables

from ..policy.records import KeyRecord
from ..policy.snapshot import IssuerPolicy
from ..rules.imported_keys import parse_any
from ..rules.jwt import issuer_of
from ..rules.limits import MICROSECONDS, Counted, Limit
from ..rules.networks import Network
from ..rules.rates import format_rate
from .context import GuardContext
from .credentials import find_presented
from .verdict import Outcome, Verdict

LONGEST_VALUE = 200


class RowRef(NamedTuple):
    """A row of a policy table: its model's name, its primary key, and what people call it."""

    model: str
    pk: Any
    name: str


class Reason(NamedTuple):
    """A sentence without its full stop; ``row`` is ``None`` where no row decided."""

    text: str
    row: RowRef | None = None


def find_reason(context: GuardContext, verdict: Verdict, record: KeyRecord | None = None) -> Reason:
    """Return why a stage refused a request, and by which row.

    Args:
        record: the record of the key that was sent, where the keyring does not hold it.
    """
    describe = _REASONS.get(verdict.outcome)
    if describe is None:
        return Reason(verdict.reason or verdict.outcome.replace("_", " "), route_row(context))
    if verdict.outcome in _OF_KEYS:
        record = record or held_record(context)
    return describe(context, verdict, record)


def route_row(context: GuardContext) -> RowRef | None:
    """Return the route that the request is judged by."""
    route = context.route
    return None if route is None else RowRef("route", route.pk, route.name)


def key_row(record: KeyRecord) -> RowRef:
    """Return the row of a key; of a client that has none, the client's."""
    if record.pk is None:
        return client_row(record)
    return RowRef("apikey", record.pk, record.name)


def client_row(record: KeyRecord) -> RowRef:
    """Return the row of the client that a key belongs to."""
    return RowRef("client", record.client.pk, record.client.slug)


def limit_row(limit: Limit) -> RowRef:
    """Return the row of a limit."""
    return RowRef("limit", limit.pk, limit.name)


def format_limit(limit: Limit) -> str:
    """Return the amount and the window of a limit, such as "100 per minute"."""
    return format_rate(limit.rate)


def shorten(value: object) -> str:
    """Return a value that a request brought, quoted and not too long."""
    return repr(str(value)[:LONGEST_VALUE])


def _of_block(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    block = context.snapshot.blocks.find(context.address, time.time())
    if block is None:  # It has ended since.
        return Reason(verdict.reason)
    until = "for good" if block.until is None else f"until {_moment(_at(block.until))}"
    row = RowRef("blockednetwork", block.pk, str(block.network))
    return Reason(f"{_from(context)} is in {block.network}, blocked {until}: {block.reason}", row)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# -- CORS and content -------------------------------------------------------------


def _of_cors(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    cors = context.route.cors if context.route is not None else None
    if cors is None:
        return Reason(verdict.reason)
    facts, row = context.facts, RowRef("corspolicy", cors.pk, cors.name)
    if verdict.outcome is Outcome.PREFLIGHT_METHOD:
        listed = ", ".join(sorted(cors.methods))
        wants = shorten(facts.requested_method)
        return Reason(f"{cors.name} allows the methods {listed}; the browser wants {wants}", row)
    if verdict.outcome is Outcome.PREFLIGHT_HEADER:
        listed = ", ".join(sorted(cors.headers)) or "none"
        wants = shorten(facts.requested_headers)
        return Reason(f"{cors.name} allows the headers {listed}; the browser wants {wants}", row)
    return Reason(f"origin {(facts.origin or '')[:LONGEST_VALUE]} is not in {cors.name}", row)


def _of_content(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    route, facts = context.route, context.facts
    if route is None:
        return Reason(verdict.reason)
    row = RowRef("route", route.pk, route.name)
    if verdict.outcome is Outcome.METHOD_NOT_LISTED:
        return Reason(f"the route takes {route.allow}; the method is {facts.method}", row)
    if verdict.outcome is Outcome.BODY_TOO_LARGE:
        most = f"{route.max_body_bytes or 0:,}"
        has = facts.content_length or "more"
        return Reason(f"the route takes {most} bytes; the body has {has}", row)
    if verdict.outcome is Outcome.NOT_ACCEPTABLE:
        made = ", ".join(media.text for media in route.produces)
        return Reason(f"the route answers {made}; Accept is {shorten(facts.accept)}", row)
    if not route.accepts:
        return Reason(f"Content-Type {verdict.reason}")
    return Reason(f"the route accepts {route.accept}; Content-Type {verdict.reason}", row)


def _of_request(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    return Reason(f"Content-Length is malformed: {verdict.reason}")


def _of_host(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    return Reason("the setting ALLOWED_HOSTS does not list this host")


# -- credentials --------------------------------------------------------------------


def _of_presented(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    if verdict.outcome is Outcome.TWO_CREDENTIALS:
        return Reason("a request brings one credential; this one brings two")
    return Reason("the credential is empty, or has white space or a comma inside")


@sensitive_variables()
def held_record(context: GuardContext) -> KeyRecord | None:
    """Return the record of the key that a request brings, if the keyring holds it."""
    held = context.snapshot.keyring.get(presented_key_id(context))
    return held if isinstance(held, KeyRecord) else None


@sensitive_variables()
def presented_key_id(context: GuardContext) -> str:
    """Return the public id of the key that a request brings; empty if it brings none."""
    for presented in find_presented(context):
        if presented.kind == "key":
            parts = parse_any(presented.value, context.settings.key_namespace)
            return "" if parts is None else parts.key_id
    return ""


def _of_key(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    outcome = verdict.outcome
    if outcome is Outcome.KEY_MALFORMED:
        return Reason("this is no key of this site: mistyped, cut short, or another one's")
    if record is None:
        return Reason(f"no key has the id {presented_key_id(context)}")
    if outcome in _OF_CLIENTS:
        return Reason(_client_text(context, outcome, record), client_row(record))
    return Reason(_key_text(context, outcome, record), key_row(record))


def _client_text(context: GuardContext, outcome: Outcome, record: KeyRecord) -> str:
    slug, networks = record.client.slug, record.client.allowed_networks
    if outcome is Outcome.CLIENT_WRONG_NETWORK:
        return f"client {slug} may call from {_listed(networks)}; the address is {_from(context)}"
    if outcome is Outcome.OWNER_INACTIVE:
        return f"client {slug} acts as its owner, who is missing or inactive"
    return f"client {slug} is disabled"


def _key_text(context: GuardContext, outcome: Outcome, record: KeyRecord) -> str:
    texts: dict[Outcome, Callable[[], str]] = {
        Outcome.KEY_WRONG_SECRET: lambda: "exists; the secret that was sent is another one",
        Outcome.KEY_BROKEN: lambda: "or its client has a wrong value, or is of another environment",
        Outcome.PEPPER_UNKNOWN: lambda: (
            f"needs the pepper {record.pepper_id}, which KEY_PEPPERS does not have here"
        ),
        Outcome.KEY_TEST_NOT_ALLOWED: lambda: "is a test key; ALLOW_TEST_KEYS is off",
        Outcome.KEY_REVOKED: lambda: "is revoked",
        Outcome.KEY_EXPIRED: lambda: f"expired at {_moment(record.expires_at)}",
        Outcome.KEY_NOT_YET_VALID: lambda: f"is valid from {_moment(record.not_before)} on",
        Outcome.KEY_WRONG_NETWORK: lambda: (
            f"may be used from {_listed(record.allowed_networks)}; the address is {_from(context)}"
        ),
    }
    text = texts[outcome]() if outcome in texts else "is refused"
    return f"key {record.key_id} ({record.name}) {text}"


def _listed(networks: Iterable[Network]) -> str:
    return ", ".join(map(str, networks))


def _from(context: GuardContext) -> str:
    return "unknown" if context.address is None else str(context.address)


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def issuer_row(issuer: IssuerPolicy) -> RowRef:
    """Return the row of an issuer."""
    return RowRef("jwtissuer", issuer.pk, issuer.name)


@sensitive_variables()
def _of_token(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    token = next((each for each in find_presented(context) if each.kind == "token"), None)
    claimed = None if token is None else issuer_of(token.value)
    issuer = context.snapshot.issuers.get(claimed or "")
    problem = verdict.reason.replace("_", " ")
    if issuer is None:
        named = "names no issuer" if claimed is None else f"is of {shorten(claimed)}"
        return Reason(f"the token {named}, which is not an enabled issuer ({problem})")
    return Reason(f"issuer {issuer.name} does not accept the token: {problem}", issuer_row(issuer))


def _of_failures(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    rate = context.settings.failed_credentials_limit
    most = "" if rate is None else f" ({format_rate(rate)})"
    return Reason(
        f"the address sent more bad credentials than FAILED_CREDENTIALS_LIMIT admits{most}; "
        f"1 more in {verdict.retry_after} s"
    )


# -- limits and access ----------------------------------------------------------------


def _of_broken(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    broken = context.route.broken if context.route is not None else ()
    if broken:
        return Reason(verdict.reason, RowRef(broken[0].model, broken[0].pk, broken[0].name))
    return Reason(verdict.reason, route_row(context))


def _of_limit(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    decision = context.decision
    one = None if decision is None else decision.closest
    if one is None:
        return Reason(verdict.reason)
    return Reason(limit_text(context, one), limit_row(one.limit))


def limit_text(context: GuardContext, one: Counted) -> str:
    """Return how much of a limit is used, and when this request's cost fits again."""
    used = f"used {one.used:,} of {format_limit(one.limit)}"
    if one.limit.kind == "concurrent":
        return f"{one.used:,} in flight of {format_limit(one.limit)}"
    cost = 1 if context.route is None else context.route.cost_of(one.limit.unit) or 1
    if cost > one.limit.amount:
        return f"{used}; a request costs {cost:,}, so it never fits"
    return used if one.allowed else f"{used}; {cost:,} more in {-(-one.wait // MICROSECONDS)} s"


def _of_access(context: GuardContext, verdict: Verdict, record: KeyRecord | None) -> Reason:
    credential, row = context.credential, route_row(context)
    if verdict.outcome is Outcome.NO_CREDENTIAL:
        none = "none of apiguard's was sent"
        if context.route is None or context.route.access != "credentials":
            return Reason(f"the view wants a credential; {none}")
        return Reason(f"the route wants a credential; {none}", row)
    kind = "session" if credential is None else credential.kind
    has = " ".join(sorted(context.scopes)) or "no scope"
    needed = () if context.route is None else context.route.required_scopes
    if context.scopes.issuperset(needed):
        # The view's own HasScope, which no row decides.
        needs = verdict.reason.removeprefix("lacks ")
        return Reason(f"the view also needs {needs}; the {kind} has {has}")
    return Reason(f"needs {' '.join(sorted(needed))}; the {kind} has {has}", row)


_Describe = Callable[[GuardContext, Verdict, KeyRecord | None], Reason]
_OF_CLIENTS = frozenset(
    {Outcome.CLIENT_DISABLED, Outcome.CLIENT_WRONG_NETWORK, Outcome.OWNER_INACTIVE}
)
_OF_KEYS = _OF_CLIENTS | {
    Outcome.KEY_MALFORMED,
    Outcome.KEY_UNKNOWN,
    Outcome.KEY_WRONG_SECRET,
    Outcome.KEY_BROKEN,
    Outcome.PEPPER_UNKNOWN,
    Outcome.KEY_TEST_NOT_ALLOWED,
    Outcome.KEY_REVOKED,
    Outcome.KEY_EXPIRED,
    Outcome.KEY_NOT_YET_VALID,
    Outcome.KEY_WRONG_NETWORK,
}
_REASONS: dict[Outcome, _Describe] = {
    Outcome.ADDRESS_BLOCKED: _of_block,
    Outcome.PREFLIGHT_FOREIGN_ORIGIN: _of_cors,
    Outcome.PREFLIGHT_METHOD: _of_cors,
    Outcome.PREFLIGHT_HEADER: _of_cors,
    Outcome.FOREIGN_ORIGIN: _of_cors,
    Outcome.BAD_CONTENT_LENGTH: _of_request,
    Outcome.HOST_NOT_ALLOWED: _of_host,
    Outcome.METHOD_NOT_LISTED: _of_content,
    Outcome.MEDIA_TYPE_NOT_ACCEPTED: _of_content,
    Outcome.BODY_TOO_LARGE: _of_content,
    Outcome.NOT_ACCEPTABLE: _of_content,
    Outcome.CREDENTIAL_MALFORMED: _of_presented,
    Outcome.TWO_CREDENTIALS: _of_presented,
    **dict.fromkeys(_OF_KEYS, _of_key),
    Outcome.TOKEN_REFUSED: _of_token,
    Outcome.TOKEN_EXPIRED: _of_token,
    Outcome.TOKEN_USER_UNKNOWN: _of_token,
    Outcome.ISSUER_KEYS_AWAY: _of_token,
    Outcome.TOO_MANY_BAD_CREDENTIALS: _of_failures,
    Outcome.POLICY_BROKEN: _of_broken,
    Outcome.LIMIT_EXCEEDED: _of_limit,
    Outcome.NO_CREDENTIAL: _of_access,
    Outcome.SCOPE_MISSING: _of_access,
}
