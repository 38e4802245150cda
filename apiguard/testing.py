"""What users of apiguard need in their own tests. Needs no database.

::

    tier, *limits = make_tier("free", 2)
    with override_policy(Route(name="api", path_prefix="/api/", anonymous_tier=tier), *limits):
        ...

``APIGUARD = {"ENABLED": False}`` in test settings removes the middleware.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import models
from django.http import HttpResponse
from django.views.decorators.debug import sensitive_variables

from . import conf
from .counters import memory
from .counters.factory import forget_counters
from .models import ApiKey, Client, JwtIssuer, Limit, LimitOverride, PolicyModel, Tier
from .policy import lookups
from .policy.compile import compile_rows
from .policy.compilers.issuers import issuer_policy, token_template
from .policy.holder import holder
from .policy.keyring import Keyring
from .policy.records import key_record
from .policy.rows import MODELS, Problems, Rows
from .policy.snapshot import Snapshot, empty
from .request import failed_credentials
from .request.context import GuardContext
from .request.described import build_request
from .request.explain import explain_request
from .request.explanation import Explanation
from .request.reasons import find_reason
from .rules.jwt_sign import build_claims, sign

# Unsaved rows get primary keys that no database hands out soon.
_unsaved = itertools.count(10**9)


@contextmanager
def override_policy(*rows: PolicyModel) -> Iterator[Snapshot]:
    """Judge every request of this process by these rows alone, counted from nothing.

    What Redis has counted stays there; without it every test begins anew.

    Args:
        rows: saved or unsaved model instances, in any order; a row that another
            one refers to may be left out. A key is known if its row is given.

    Raises:
        ValueError: a row is invalid; the message says which and why.
    """
    snapshot = snapshot_of(*rows)
    if snapshot.problems:
        raise ValueError("; ".join(str(problem) for problem in snapshot.problems))
    reset_counters()
    with holder.override(snapshot):
        yield snapshot


def reset_counters() -> None:
    """Count all limits of this process from zero, and forget its failed credentials."""
    forget_counters()
    failed_credentials.forget()
    memory.skip(None)


def fast_forward(seconds: float) -> None:
    """Let so much time pass for the limits of this process, until ``reset_counters``.

    Limits count in memory while tests run. What depends on dates, such as the end of a key,
    stays as it is.
    """
    memory.skip(seconds)


def assert_refused(response: Any, outcome: str, by: str | None = None) -> None:
    """Assert that apiguard refused a request of Django's test clients, and why.

    Args:
        response: of ``django.test.Client`` or ``AsyncClient``, or of DRF's.
        outcome: a name of ``Outcome``, such as "scope_missing".
        by: model and name of the row that decided, such as "route api".

    Raises:
        AssertionError: the message says what happened instead, and why.
    """
    context, text = _judged(response)
    if context is None or not context.verdict.refused:
        raise AssertionError(f"Not refused as {outcome}: {text}")
    if context.verdict.outcome != outcome:
        raise AssertionError(f"Refused, but not as {outcome}: {text}")
    row = find_reason(context, context.verdict).row
    decided = "no row" if row is None else f"{row.model} {row.name}"
    if by is not None and by != decided:
        raise AssertionError(f"Refused by {decided}, not by {by}: {text}")


def assert_admitted(response: Any) -> None:
    """Assert that apiguard let the request through to its view.

    Raises:
        AssertionError: the message says why it was refused.
    """
    context, text = _judged(response)
    if context is not None and context.verdict.refused:
        raise AssertionError(f"Not admitted: {text}")


def _judged(response: Any) -> tuple[GuardContext | None, str]:
    request = getattr(response, "wsgi_request", None) or response.asgi_request
    context: GuardContext | None = getattr(request, "apiguard", None)
    status = f"{request.method} {request.path_info} was answered {response.status_code}"
    if context is None:
        return None, f"{status}; apiguard's middleware has not seen it"
    verdict = context.verdict
    if not verdict.refused:
        route = "no route guards it" if context.route is None else f"route {context.route.name}"
        return context, f"{status}; admitted ({route})"
    reason = find_reason(context, verdict)
    row = "" if reason.row is None else f" by {reason.row.model} {reason.row.name}"
    return context, f"{status}; refused as {verdict.outcome}{row}: {reason.text}"


@sensitive_variables()
def explain(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    client: str | None = None,
    body: bytes = b"",
    address: str = "127.0.0.1",
    host: str = "testserver",
    secure: bool = False,
    view_response: HttpResponse | None = None,
) -> Explanation:
    """Return what apiguard would do with a request; nothing is counted or remembered.

    Args:
        path: or a whole URL.
        client: slug of a client; judged as if the request brought a valid key of it.
        view_response: what the view would answer, to see which headers are added to it.

    Raises:
        ValueError: this is no request, or there is no such client.
    """
    length = {"Content-Length": str(len(body))} if body else {}
    request = build_request(
        method,
        path,
        headers={**length, **(headers or {})},
        address=address,
        host=host,
        secure=secure,
    )
    records = (
        [] if client is None else lookups.read_client_keys(holder.snapshot() or empty(), client)
    )
    if client is not None and not records:
        raise ValueError(f"There is no client {client!r}.")
    return explain_request(request, records=records, view_response=view_response)


def snapshot_of(*rows: PolicyModel) -> Snapshot:
    """These rows compiled, with whatever is wrong with them in ``problems``."""
    everything = _with_relations(rows)
    for row in everything:
        if row.pk is None:
            row.pk = next(_unsaved)
    for row in everything:
        for name, related in _relations(row):
            setattr(row, name, related)  # Anew, now that it has a primary key.

    def of(model: type[PolicyModel]) -> Any:
        return tuple(row for row in everything if type(row) is model)

    members = {member: of(model) for member, model in MODELS.items()}
    snapshot = compile_rows(Rows(**members))
    overrides, problems = of(LimitOverride), Problems()
    for override in overrides:
        problems.of(override)
    records = [
        key_record(key, [one for one in overrides if one.client_id == key.client_id])
        for key in of(ApiKey)
    ]
    return replace(
        snapshot,
        problems=(*snapshot.problems, *problems.found),
        keyring=Keyring(records, closed=True),
    )


def make_key(
    client: Client, name: str = "test", scopes: tuple[str, ...] = (), **fields: Any
) -> tuple[ApiKey, str]:
    """Return an unsaved key for ``override_policy``, and its text."""
    return ApiKey.objects.build(client, name, scopes, **fields)


@sensitive_variables()
def make_token(issuer: JwtIssuer, subject: str = "alice", scope: str = "", **claims: Any) -> str:
    """Return a token of an HMAC issuer, good for an hour.

    Args:
        claims: instead of what the issuer's row asks for, or besides; ``None`` leaves one out.

    Raises:
        ValueError: the issuer's tokens are signed elsewhere, or its row is invalid.
    """
    problems = issuer.problems()
    if problems or not issuer.secret_name:
        why = "; ".join(map(str, problems)) or "its tokens are signed with a private key"
        raise ValueError(f"No token of issuer {issuer.name!r} can be made here: {why}")
    template = token_template(issuer, issuer_policy(issuer).rules)
    made = {**build_claims(template, subject, scope, int(time.time())), **claims}
    secret = conf.current().jwt_secrets[issuer.secret_name][0]
    return sign(template, {k: v for k, v in made.items() if v is not None}, secret)


def make_tier(slug: str, *amounts: int, period: int = 60) -> list[Any]:
    """Return an unsaved tier for ``override_policy``, followed by a limit for each of ``amounts``.

    Args:
        amounts: requests per ``period`` seconds.
    """
    tier = Tier(slug=slug, name=slug)
    return [
        tier,
        *(
            Limit(tier=tier, name=f"{slug}-{number}", amount=amount, period=period)
            for number, amount in enumerate(amounts, 1)
        ),
    ]


def _with_relations(rows: tuple[PolicyModel, ...]) -> list[PolicyModel]:
    found: dict[int, PolicyModel] = {}
    pending: list[PolicyModel] = list(rows)
    while pending:
        row = pending.pop(0)
        if id(row) not in found:
            found[id(row)] = row
            pending += [related for _, related in _relations(row)]
    return list(found.values())


def _relations(row: models.Model) -> list[tuple[str, PolicyModel]]:
    """Related policy rows that are in memory already."""
    return [
        (field.name, related)
        for field in row._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.is_cached(row)
        if isinstance(related := getattr(row, field.name), PolicyModel)
    ]
