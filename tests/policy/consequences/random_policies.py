"""Random policies, random edits of them, and what random requests find before and after.

The truth is what the guard's own stages answer, never what is compared: each
opening that a request finds has to be the subject of a statement.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse

from apiguard.counters.base import LimitCheck
from apiguard.counters.memory import MemoryCounter
from apiguard.models import (
    AllowedOrigin,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    ResponseHeader,
    Route,
    Tier,
)
from apiguard.policy.consequences import Kind, compare
from apiguard.policy.records import key_record
from apiguard.request import pipeline, response
from apiguard.request.context import GuardContext
from apiguard.request.effects import LookUpKey, peek, run
from apiguard.rules.paths import PrefixTable
from tests.policy.rows import compiled
from tests.request.site import Call, Caller, token

PATHS = ["/", "/api/", "/api/orders/", "/api/orders/7/", "/api/export/", "/docs/", "/x/"]
ORIGINS = [
    "https://a.example",
    "https://b.example",
    "https://x.b.example",
    "https://y.x.b.example:8443",
    "http://c.example:81",
]
PATTERNS = [
    *ORIGINS[:2],
    "https://*.b.example",
    "https://*.x.b.example:*",
    "*",
    "http://c.example:*",
]
METHODS = ["GET", "POST", "PUT", "DELETE"]
TYPES = ["application/json", "application/*+json", "image/*", "text/plain"]
HEADERS = {"x-frame-options", "x-other", "cache-control"}
SCOPES = ["orders:read", "orders:write"]

REFERENCES = {
    Route: {
        "cors_policy_id": CorsPolicy,
        "header_policy_id": HeaderPolicy,
        "anonymous_tier_id": Tier,
        "user_tier_id": Tier,
    },
    AllowedOrigin: {"policy_id": CorsPolicy},
    ResponseHeader: {"policy_id": HeaderPolicy},
    Limit: {"tier_id": Tier, "route_id": Route},
    JwtIssuer: {"tier_id": Tier},
}
OWNED = {AllowedOrigin: "policy_id", ResponseHeader: "policy_id", Limit: "tier_id"}


class World:
    """Rows of a random policy, as fields by primary key; ``edit`` changes one of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows: dict[Any, dict[int, dict[str, Any]]] = {}
        self.last = 0
        for model, number in (
            (Tier, 3), (CorsPolicy, 2), (HeaderPolicy, 2), (Route, 4),
            (AllowedOrigin, 4), (ResponseHeader, 4), (Limit, 5), (JwtIssuer, 1),
        ):  # fmt: skip
            for _ in range(number):
                self.add(model)

    def some(self, items: list[Any], most: int = 3) -> list[Any]:
        return self.random.sample(items, self.random.randint(0, min(most, len(items))))

    def reference(self, model: Any, *, required: bool) -> Any:
        found: list[Any] = list(self.rows.get(model, ()))
        if not found or (not required and self.random.random() < 0.4):
            return None
        return self.random.choice(found)

    def fields(self, model: Any, pk: int) -> dict[str, Any]:
        pick = self.random.choice
        if model is Route:
            taken = {row["path_prefix"] for row in self.rows.get(Route, {}).values()}
            access = pick(["public", "credentials", "credentials", "application"])
            return {
                "name": f"r{pk}",
                "path_prefix": pick([path for path in PATHS if path not in taken]),
                "mode": pick(["enforce", "enforce", "enforce", "enforce", "observe", "off"]),
                "access": access,
                "required_scopes": self.some(SCOPES, 2) if access == "credentials" else [],
                "methods": pick([[], self.some(METHODS)]),
                "accepts": pick([[], [], self.some(TYPES)]),
                "produces": pick([[], [], self.some(["application/json", "text/plain"], 2)]),
                "max_body_bytes": pick([None, None, 10, 100]),
                "cost": pick([1, 1, 1, 3, 10]),
            }
        if model is CorsPolicy:
            return {
                "name": f"c{pk}",
                "allowed_methods": self.some(METHODS),
                "allowed_headers": self.some(["Authorization", "X-API-Key", "X-Other"]),
                "exposed_headers": self.some(["X-Request-ID", "Retry-After"], 2),
                "allow_credentials": pick([False, False, True]),
                "refuse_foreign_origins": pick([True, False]),
            }
        if model is Limit:
            kind = pick(["window", "window", "quota"])
            window = kind == "window"
            return {
                "name": f"l{pk}",
                "kind": kind,
                "amount": pick([2, 5, 10, 100]),
                "period": pick([60, 3600]) if window else None,
                "calendar": "" if window else pick(["day", "month"]),
                "mode": pick(["enforce", "enforce", "shadow"]),
                "on_store_failure": pick(["local", "open", "closed"]),
            }
        if model is JwtIssuer:
            return {
                "name": f"i{pk}",
                "issuer": f"https://i{pk}.example",
                "audiences": pick([["orders"], ["orders", "other"], ["other"]]),
                "algorithms": ["HS256"],
                "secret_name": "demo",
                "enabled": pick([True, True, False]),
                "max_lifetime": pick([None, 60]),
            }
        return {
            Tier: lambda: {"slug": f"t{pk}", "name": f"T{pk}"},
            HeaderPolicy: lambda: {"name": f"h{pk}"},
            AllowedOrigin: lambda: {
                "pattern": pick(PATTERNS),
                "enabled": pick([True, True, True, False]),
            },
            ResponseHeader: lambda: {
                "name": pick(["X-Frame-Options", "X-Other", "Cache-Control"]),
                "value": pick(["DENY", "no-store"]),
                "mode": pick(["force", "force", "default", "remove"]),
                "condition": pick(["always", "always", "https"]),
                "content_types": pick([[], [], ["text/html"]]),
            },
        }[model]()

    def values(self, model: Any, pk: int) -> dict[str, Any]:
        found = self.fields(model, pk)
        for column, other in REFERENCES.get(model, {}).items():
            found[column] = self.reference(other, required=OWNED.get(model) == column)
        if model is Limit and self.random.random() < 0.6:
            found["route_id"] = None
        return found

    def add(self, model: Any) -> None:
        self.last += 1
        self.rows.setdefault(model, {})[self.last] = self.values(model, self.last)

    def edit(self) -> str:
        """Change, add or delete one row."""
        model = self.random.choice(
            [Route, Route, Route, CorsPolicy, AllowedOrigin, AllowedOrigin, HeaderPolicy,
             ResponseHeader, ResponseHeader, Tier, Limit, Limit, Limit, JwtIssuer]
        )  # fmt: skip
        rows = self.rows.setdefault(model, {})
        owner = OWNED.get(model)
        room = len(rows) < (len(PATHS) if model is Route else 8)
        way = self.random.choice(["add", "delete", "change", "change", "change"])
        if way == "add" and room and not (owner and not self.rows.get(REFERENCES[model][owner])):
            self.add(model)
            return f"add {model.__name__}"
        if not rows:
            return "nothing"
        pk = self.random.choice(list(rows))
        if way == "delete":
            self.delete(model, pk)
            return f"delete {model.__name__}"
        # New values for some of the columns, as a person changes a form.
        old = rows.pop(pk)
        new = self.values(model, pk)
        columns = self.random.sample(list(new), self.random.randint(1, min(3, len(new))))
        changed = {column: new[column] for column in columns}
        if not {"access", "required_scopes"}.isdisjoint(changed):
            changed |= {"access": new["access"], "required_scopes": new["required_scopes"]}
        if model is Limit and not {"kind", "period", "calendar"}.isdisjoint(changed):
            changed |= {column: new[column] for column in ("kind", "period", "calendar")}
        rows[pk] = {**old, **changed}
        return f"change {model.__name__} {sorted(changed)}"

    def delete(self, model: Any, pk: int) -> None:
        """Delete a row, those that belong to it, and every reference to it."""
        del self.rows[model][pk]
        for other, columns in REFERENCES.items():
            for column, target in columns.items():
                if target is not model:
                    continue
                for key, row in list(self.rows.get(other, {}).items()):
                    if row[column] == pk and OWNED.get(other) == column:
                        self.delete(other, key)
                    elif row[column] == pk:
                        row[column] = None

    def snapshot(self) -> Any:
        made = [
            model(pk=pk, **row) for model, rows in self.rows.items() for pk, row in rows.items()
        ]
        return compiled(*made)

    # -- requests ---------------------------------------------------------------

    def requests(self, number: int, tiers: set[int]) -> list[Request]:
        """Return random requests that hit and miss the rules; ``tiers`` are those of clients."""
        pick, chance = self.random.choice, self.random.random
        callers = [
            Caller(scopes=tuple(self.some(SCOPES, 2)), client_fields={"tier_id": tier, "pk": pk})
            for pk, tier in enumerate([None, *sorted(tiers)], 1)
        ]
        issuers = [row["issuer"] for row in self.rows.get(JwtIssuer, {}).values()]
        tokens = [
            token(iss=issuer, aud=audience, exp=None if short is None else short)
            for issuer in issuers
            for audience in ("orders", "other")
            for short in (4102444800,)
        ]
        found = []
        for _ in range(number):
            caller = pick([None, None, *callers])
            headers: dict[str, str] = {}
            if caller is not None:
                headers["X-API-Key"] = caller.text
            elif tokens and chance() < 0.3:
                headers["Authorization"] = f"Bearer {pick(tokens)}"
            method = pick([*METHODS, "OPTIONS"])
            if chance() < 0.4 or method == "OPTIONS":
                headers["Origin"] = pick([*ORIGINS, "https://evil.example"])
            if method == "OPTIONS":
                headers["Access-Control-Request-Method"] = pick(METHODS)
                wanted = pick(["", "authorization", "x-api-key", "x-other"])
                headers["Access-Control-Request-Headers"] = wanted
            if chance() < 0.2:
                headers["Accept"] = pick(["application/json", "text/plain", "image/png"])
            call = Call(
                method=method,
                path=pick(PATHS) + pick(["", "more"]),
                headers=headers,
                body=pick([b"", b"{}", b"x" * 30, b"x" * 300]),
                content_type=pick(["application/json", "application/a+json", "image/png", "x/y"]),
                secure=chance() < 0.5,
            )
            found.append(Request(call, caller, pick([None, 5])))
        return found


class Request(NamedTuple):
    """A call, the caller whose key it brings, and who is signed in."""

    call: Call
    caller: Caller | None
    user_pk: int | None


@dataclass
class Found:
    """What a request finds; everything that an opening changes."""

    served: bool = True
    readable: dict[str, str] = field(default_factory=dict)
    checks: list[LimitCheck] = field(default_factory=list)
    user: str = ""
    headers: set[str] = field(default_factory=set)


def send(snapshot: Any, request: Request) -> Found:
    """Return what the guard does to a request; nothing is written or counted."""
    context = request.call.context(snapshot)
    if context.route is None or not context.enforced:
        return Found()
    found = Found()
    if request.caller is not None:
        # The tier of a client is no part of a snapshot.
        record = key_record(request.caller.row)
    allowed = MemoryCounter()

    def answer(effect: Any, context: GuardContext) -> Any:
        if isinstance(effect, LimitCheck):
            found.checks.append(effect)
            return allowed.check(effect)
        if isinstance(effect, LookUpKey):
            return record if request.caller is not None else None
        return peek(effect, context)

    verdict = run(pipeline.judge(context), context, answer)
    if not verdict.refused and context.route.access == "application":
        verdict = run(pipeline.judge_at_view(context, request.user_pk), context, answer)
    found.served = not verdict.refused
    if context.credential is not None and context.route.access != "application":
        found.user = context.credential.principal
    _read_response(found, context)
    return found


def _read_response(found: Found, context: GuardContext) -> None:
    page = HttpResponse(b"", "text/html")
    page.headers["X-Other"] = "the view's"
    response.finish(HttpRequest(), context, page)
    found.headers = {name.lower() for name in page.headers} & HEADERS
    for name, value in (*page.headers.items(), *context.verdict.headers):
        if name.lower().startswith("access-control-") and name.lower()[15:] != "max-age":
            found.readable[name.lower()] = value
    if context.verdict.outcome.value == "preflight_answered":
        found.readable["preflight"] = "yes"


def openings(before: Found, after: Found) -> set[str]:
    """Return in which respects the second answer opens something that the first kept shut."""
    if not after.served:
        return set()
    if not before.served:
        return {"admitted"}
    found = set()
    for name, value in after.readable.items():
        old = {part.strip().lower() for part in before.readable.get(name, "").split(",")}
        # Every policy allows the methods that Fetch safelists.
        old |= {"get", "head", "post"} if name == "access-control-allow-methods" else set()
        if not {part.strip().lower() for part in value.split(",")} <= old and "*" not in old:
            found.add("readable")
    if after.user and after.user != before.user:
        found.add("user")
    if before.headers - after.headers:
        found.add("headers")
    if any(not _is_held(limit, check.cost, after) for check in before.checks
           for limit in check.limits if not limit.shadow):  # fmt: skip
        found.add("limits")
    return found


def _is_held(limit: Any, cost: int, after: Found) -> bool:
    """Whether some limit afterwards holds a caller who only comes here at least as tightly."""
    rank = ["open", "local", "closed"].index
    return any(
        not other.shadow
        and (other.kind, other.calendar) == (limit.kind, limit.calendar)
        and other.amount // check.cost <= limit.amount // cost
        and other.period >= limit.period
        and rank(other.on_store_failure) >= rank(limit.on_store_failure)
        for check in after.checks
        for other in check.limits
    )


ALL = {"admitted", "readable", "limits", "user", "headers"}
COVERS = {
    "unguarded": ALL,
    "route_up": ALL,
    "credential_not_needed": {"admitted"},
    "scopes_not_needed": {"admitted"},
    "methods_admitted": {"admitted"},
    "types_admitted": {"admitted"},
    "bodies_admitted": {"admitted"},
    # A preflight that was answered before reaches the view, with its caller.
    "cors_removed": {"admitted", "user"},
    "origins_admitted": {"admitted", "readable"},
    "foreign_served": {"admitted"},
    "cors_granted": {"admitted", "readable"},
    "cors_credentials": {"readable"},
    "headers_lost": {"headers"},
    "headers_removed": {"headers"},
    "headers_kept": {"headers"},
    "users_without_row": {"user"},
    "cost_lowered": {"limits", "admitted"},
    "reservation_removed": {"limits", "admitted"},
    "reservation_changed": {"limits", "admitted"},
    "limits_lost": {"limits", "admitted"},
    "users_counted_otherwise": {"limits", "admitted"},
    "limit_removed": {"limits", "admitted"},
    "limit_moved": {"limits", "admitted"},
    "limit_loosened": {"limits", "admitted"},
    "unlimited": {"limits", "admitted"},
    "tier_mended": {"admitted", "limits"},
    "issuer_tier": {"limits", "admitted"},
    "issuer_added": {"admitted", "user"},
    "issuer_changed": {"admitted", "user"},
    "issuer_users": {"user"},
    # The tokens of an issuer that is gone are the project's own on public routes.
    "issuer_removed": {"admitted", "limits"},
}


def is_stated(respect: str, path: str, statements: Any) -> bool:
    """Whether a statement that waits for a confirmation is about this opening."""
    return any(
        respect in COVERS.get(statement.code, ())
        and statement.confirm
        and (
            not statement.prefixes
            or PrefixTable(dict.fromkeys(statement.prefixes, True)).find(path)
        )
        for statement in statements
    )


@dataclass
class Report:
    """Counts over all edits."""

    edits: int = 0
    requests: int = 0
    openings: int = 0
    opening_edits: int = 0
    stated_edits: int = 0
    false_alarms: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        return (
            f"{self.edits} random edits, {self.requests:,} requests before and after each: "
            f"{self.openings} openings by {self.opening_edits} edits, {len(self.missed)} without "
            f"a statement; {self.stated_edits} edits state an opening, and of "
            f"{self.false_alarms} no request found one."
        )


def check_edits(edits: int, requests: int, seed: int = 1) -> Report:
    """Make random edits; compare their statements with what random requests find."""
    report = Report()
    world = World(seed)
    for number in range(edits):
        if number % 20 == 0:
            world = World(seed * 100_003 + number)
        before = world.snapshot()
        drawn = world.requests  # Half of them fit the policy before, half the one after.
        state, tiers = copy.deepcopy(world.rows), set(world.rows.get(Tier, {}))
        edit = world.edit()
        after, now = world.snapshot(), world.rows
        # No client is in a tier that is new, and a tier with clients cannot be deleted.
        tiers &= set(now.get(Tier, {}))
        world.rows = state
        sent = drawn(requests // 2, tiers)
        world.rows = now
        sent += drawn(requests - len(sent), tiers)
        statements = compare(before, after)
        _count(report, edit, statements, before, after, sent)
    return report


def _count(
    report: Report, edit: str, statements: Any, before: Any, after: Any, sent: list[Request]
) -> None:
    found = False
    for request in sent:
        opened = openings(send(before, request), send(after, request))
        found = found or bool(opened)
        report.openings += len(opened)
        for respect in opened:
            if not is_stated(respect, request.call.path, statements):
                report.missed.append(f"{edit}: {respect} by {request.call}: {statements}")
    is_alarm = any(each.kind == Kind.OPENS and each.confirm for each in statements)
    report.edits += 1
    report.requests += len(sent)
    report.opening_edits += found
    report.stated_edits += is_alarm
    if is_alarm and not found:
        report.false_alarms += 1
        report.alarms.append(f"{edit}: {[str(each) for each in statements]}")
