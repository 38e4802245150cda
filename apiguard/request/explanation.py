"""What the guard would answer to a request, as frozen values; no value holds a secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from ..policy.records import KeyRecord
from ..rules.limits import MICROSECONDS, Counted
from .context import GuardContext
from .reasons import RowRef, client_row, format_limit, key_row, limit_row
from .verdict import Header

# "would_refuse": the route only observes. "answered": a preflight, which no view sees.
Result = Literal["passed", "refused", "would_refuse", "answered", "not_reached"]


class Step(NamedTuple):
    """The verdict of one stage; ``row`` decided it, if any row did."""

    stage: str
    result: Result
    reason: str
    row: RowRef | None = None
    outcome: str = ""


class LimitState(NamedTuple):
    """One limit after this request, as if it were admitted; unchanged where a limit refuses it.

    ``wait`` is whole seconds until its cost fits (0: now), ``reset`` until some of
    the amount returns (``None``: nothing is used). A shadow limit refuses nobody.
    """

    row: RowRef
    rate: str
    amount: int
    used: int
    remaining: int
    exceeded: bool
    shadow: bool
    wait: int
    reset: int | None


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal that the request is counted under, and its credential."""

    principal: str
    address: str = ""
    credential: str = ""
    client: RowRef | None = None
    key: RowRef | None = None
    scopes: tuple[str, ...] = ()
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the guard would do with a request, stage by stage.

    Attributes:
        revision: of the policy in force; ``None`` where there is none.
        route: the route that guards the path, or ``None``.
        mode: the route's mode; empty without one.
        steps: all stages in their order.
        outcome: what was decided in the end, such as "limit_exceeded".
        refused: whether the guard itself refuses the request.
        would_refuse: the same if the route enforced what it decides.
        status: what the guard answers by itself; ``None`` where the view answers.
        headers: all headers of that answer, or those that the guard adds to the view's.
        body: of that answer; empty where the view answers.
        limits: every limit that is counted, in tier order.
        unknowns: what only the real request would show.
    """

    method: str
    path: str
    revision: int | None
    route: RowRef | None
    mode: str
    steps: tuple[Step, ...]
    outcome: str
    refused: bool
    would_refuse: bool
    status: int | None
    headers: tuple[Header, ...]
    body: str
    caller: Caller
    limits: tuple[LimitState, ...]
    unknowns: tuple[str, ...]

    @property
    def deciding(self) -> Step | None:
        """The stage that refused or answered the request; ``None`` where none did."""
        ended = ("refused", "would_refuse", "answered")
        return next((step for step in self.steps if step.result in ended), None)

    def as_dict(self) -> dict[str, Any]:
        """Return the same for ``json.dumps``; rows as objects, headers as pairs."""
        caller = asdict(self.caller)
        caller["client"], caller["key"] = _row(self.caller.client), _row(self.caller.key)
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "route": _row(self.route),
            "steps": [{**step._asdict(), "row": _row(step.row)} for step in self.steps],
            "caller": caller,
            "limits": [{**one._asdict(), "row": _row(one.row)} for one in self.limits],
        }


_PLAIN = (
    *("method", "path", "revision", "mode", "outcome", "refused", "would_refuse"),
    *("status", "headers", "body", "unknowns"),
)


def _row(row: RowRef | None) -> dict[str, Any] | None:
    return None if row is None else {"model": row.model, "pk": row.pk, "name": row.name}


def describe_caller(context: GuardContext) -> Caller:
    """Return who a judged request is counted as."""
    record = context.auth if isinstance(context.auth, KeyRecord) else None
    return Caller(
        principal=context.principal,
        address="" if context.address is None else str(context.address),
        credential="" if context.credential is None else context.credential.kind,
        client=None if record is None else client_row(record),
        key=None if record is None or record.pk is None else key_row(record),
        scopes=tuple(sorted(context.scopes)),
        tier=context.tier,
    )


def describe_limits(context: GuardContext) -> tuple[LimitState, ...]:
    """Return what every limit of a judged request has left."""
    decision = context.decision
    return () if decision is None else tuple(map(_limit, decision.counted))


def _limit(one: Counted) -> LimitState:
    return LimitState(
        row=limit_row(one.limit),
        rate=format_limit(one.limit),
        amount=one.limit.amount,
        used=one.used,
        remaining=one.remaining,
        exceeded=not one.allowed,
        shadow=one.limit.shadow,
        wait=-(-one.wait // MICROSECONDS),
        reset=None if one.reset is None else -(-one.reset // MICROSECONDS),
    )
