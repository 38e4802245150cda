"""Record a refused request: counted, in the log, and kept as a row if it is sampled.

A row is described only if it is kept, so a flood of refusals costs a comparison with a heap each.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..policy.records import KeyRecord
from ..rules.networks import network_of
from ..rules.redaction import redact, redact_url
from ..telemetry.background_signals import background_signals
from ..telemetry.buffer import buffer
from ..telemetry.metrics import metrics
from ..telemetry.refusal_buffer import RefusalKind, RefusedRequest
from .context import GuardContext
from .explanation import describe_limits
from .facts import Facts
from .reasons import Reason, find_reason, held_record, presented_key_id
from .verdict import Outcome, Verdict

logger = logging.getLogger("apiguard.request")
# One line for every refusal, with the id that the caller can quote.
refusals = logging.getLogger("apiguard.refusals")

MAX_TEXT = 500
MAX_HEADER = 200
# What runs behind the guard refuses with one of these; anything else is no refusal.
REFUSED_BEHIND = frozenset({401, 403, 429})
# Their secret was right: the request comes from somebody who is known.
_VERIFIED = frozenset(
    {
        *(Outcome.KEY_REVOKED, Outcome.KEY_EXPIRED, Outcome.KEY_NOT_YET_VALID),
        *(Outcome.KEY_TEST_NOT_ALLOWED, Outcome.KEY_WRONG_NETWORK, Outcome.CLIENT_DISABLED),
        *(Outcome.CLIENT_WRONG_NETWORK, Outcome.OWNER_INACTIVE),
    }
)
# What is known of a key whose secret was wrong is what its sender claims.
_OF_KEYS = _VERIFIED | {Outcome.KEY_WRONG_SECRET, Outcome.KEY_BROKEN, Outcome.PEPPER_UNKNOWN}
_ANSWERED = Verdict(Outcome.VIEW_ANSWERED)


class _Caller(NamedTuple):
    principal: str
    is_identified: bool
    record: KeyRecord | None = None
    key_id: str = ""


def record_refusal(context: GuardContext, verdict: Verdict) -> None:
    """Record what a stage refused, or would have refused on a route that only observes.

    Of one request the first refusal is recorded, whichever entrance it came through.
    """
    if context.is_recorded:
        return
    context.is_recorded = True
    route = context.route
    # Where no route is, nobody observes: DRF's classes refuse in their own right.
    enforced = verdict.enforced or route is None
    if route is not None:
        buffer.refused(route.pk, verdict.outcome, enforced)
    log_refusal(
        route="" if route is None else route.name,
        outcome=verdict.outcome,
        reason=verdict.reason,
        request_id=context.request_id,
        principal=context.principal,
        enforced=enforced,
    )
    if verdict.violated:
        _announce_limits(context, verdict.violated, enforced=enforced)
    if context.settings.metrics:
        _measure_refusal(context, verdict, enforced=enforced)
    status = 0 if verdict.refusal is None else verdict.refusal.status
    _keep(context, verdict, status, enforced=enforced)


def _announce_limits(context: GuardContext, limits: tuple[str, ...], *, enforced: bool) -> None:
    client = context.client
    background_signals.limits_reached(
        context.principal_for_people,
        client="" if client is None else client.slug,
        tier=context.tier,
        limits=limits,
        enforced=enforced,
    )


def log_refusal(
    *, route: str, outcome: str, reason: str, request_id: str, principal: str, enforced: bool
) -> None:
    """Log what was refused, by which route, and why; as fields in ``extra``, too.

    Args:
        reason: the operator's reason; made printable, as parts of it may come
            from the request and must not break a log into lines.
        enforced: false where the route only observes.
    """
    printable = reason.encode("unicode_escape").decode("ascii")[:500]
    refusals.info(
        "%s %s on route %r: %s (request %s, %s)",
        "Refused" if enforced else "Would have refused",
        outcome,
        route,
        printable or "no further reason",
        request_id,
        principal.encode("unicode_escape").decode("ascii")[:200],
        extra={
            "apiguard_request_id": request_id,
            "apiguard_outcome": outcome,
            "apiguard_route": route,
            "apiguard_enforced": enforced,
        },
    )


def _measure_refusal(context: GuardContext, verdict: Verdict, *, enforced: bool) -> None:
    route = "" if context.route is None else context.route.name
    metrics().count_refusal(route, verdict.outcome.value, enforced)


def record_answer(context: GuardContext, status: int, answered_by: str) -> None:
    """Record that what runs behind the guard refused a request that the guard let through.

    Other answers are not recorded.

    Args:
        answered_by: such as "the view".
    """
    if context.is_recorded or status not in REFUSED_BEHIND:
        return
    context.is_recorded = True
    if context.route is not None:
        buffer.refused(context.route.pk, Outcome.VIEW_ANSWERED, True)
    if context.settings.metrics:
        _measure_refusal(context, _ANSWERED, enforced=True)
    reason = Reason(f"apiguard let it through; {answered_by} answered {status}")
    _keep(context, _ANSWERED, status, enforced=True, reason=reason)


def _keep(
    context: GuardContext,
    verdict: Verdict,
    status: int,
    *,
    enforced: bool,
    reason: Reason | None = None,
) -> None:
    if not context.settings.keeps_refusals:
        return
    caller, route = _caller(context, verdict), context.route
    kind = RefusalKind(0 if route is None else route.pk, str(verdict.outcome), enforced)

    def build() -> RefusedRequest:
        why = reason or find_reason(context, verdict)
        return _describe(context, kind, caller, status, why)

    counted = caller.key_id or caller.principal
    try:
        buffer.keep_refusal(kind, counted, is_identified=caller.is_identified, build=build)
    except Exception:
        # The request is answered already; it is in the counts and in the log.
        logger.exception("A refusal (%s) cannot be described.", verdict.outcome)


def _caller(context: GuardContext, verdict: Verdict) -> _Caller:
    principal = context.principal
    if context.credential is not None:
        auth = context.auth
        record = auth if isinstance(auth, KeyRecord) else None
        return _Caller(principal, True, record, "" if record is None else record.key_id)
    if verdict.outcome not in _OF_KEYS:
        return _Caller(principal, principal.startswith("user:"))
    key_id, is_verified = presented_key_id(context), verdict.outcome in _VERIFIED
    return _Caller(principal, is_verified, held_record(context), key_id)


@sensitive_variables()
def _describe(
    context: GuardContext, kind: RefusalKind, caller: _Caller, status: int, reason: Reason
) -> RefusedRequest:
    facts, route, row = context.facts, context.route, reason.row
    client = None if caller.record is None else caller.record.client

    def text(value: str | None, most: int = MAX_TEXT) -> str:
        return redact(value or "", context.settings.key_namespace, most)

    def url(value: str | None) -> str:
        return redact_url(value or "", context.settings.key_namespace, MAX_TEXT)

    def without_address(value: str) -> str:
        return value if not full else value.replace(full, address)

    full, address = _addresses(context)
    return RefusedRequest(
        at=timezone.now(),
        request_id=text(context.request_id, 128),
        method=text(facts.method, 32),
        path=url(context.path),
        status=status,
        enforced=kind.enforced,
        outcome=kind.outcome,
        reason=text(without_address(reason.text), 2 * MAX_TEXT),
        principal=without_address(caller.principal)[:300],
        is_identified=caller.is_identified,
        revision=context.snapshot.revision or 0,
        address=address,
        origin=url(facts.origin),
        # Of a request without a body, a server may have made it up.
        content_type=text(facts.content_type if _has_body(facts) else "", MAX_HEADER),
        accept=text(facts.accept, MAX_HEADER),
        route_pk=None if route is None else route.pk,
        route_name="" if route is None else text(route.name, 100),
        row_model="" if row is None else row.model,
        row_pk="" if row is None else str(row.pk),
        row_name="" if row is None else text(row.name, 255),
        client_pk=None if client is None else client.pk,
        client_slug="" if client is None else client.slug,
        key_id=caller.key_id,
        limits=tuple(_limits(context)),
    )


def _has_body(facts: Facts) -> bool:
    return bool(facts.unknown_length) or facts.content_length not in (None, "0")


def _addresses(context: GuardContext) -> tuple[str, str]:
    """Return the address that rows must not show ("": none is hidden), and the one they show."""
    address = context.address
    if address is None:
        return "", ""
    if context.settings.refusals_address == "full":
        return "", str(address)
    return str(address), network_of(address)


def _limits(context: GuardContext) -> list[dict[str, Any]]:
    names = ("rate", "amount", "used", "remaining", "exceeded", "shadow", "wait", "reset")
    return [
        {"pk": one.row.pk, "name": one.row.name, **{name: getattr(one, name) for name in names}}
        for one in describe_limits(context)
    ]
