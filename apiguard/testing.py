"""What users of apiguard need in their own tests. Needs no database.

::

    with override_policy(
        Route(name="api", path_prefix="/api/", access="public", anonymous_tier=tier),
        tier,
        Limit(tier=tier, name="per-minute", amount=2, period=60),
    ):
        ...

``APIGUARD = {"ENABLED": False}`` in test settings removes the middleware.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import models
from django.http import HttpResponse
from django.views.decorators.debug import sensitive_variables

from .counters.factory import forget_counters
from .models import ApiKey, Client, LimitOverride, PolicyModel
from .policy import lookups
from .policy.compile import compile_rows
from .policy.holder import holder
from .policy.keyring import Keyring
from .policy.records import key_record
from .policy.rows import MODELS, Problems, Rows
from .policy.snapshot import Snapshot, empty
from .request import failed_credentials
from .request.described import build_request
from .request.explain import explain_request
from .request.explanation import Explanation

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
    """An unsaved key for ``override_policy``, and its text."""
    return ApiKey.objects.build(client, name, scopes, **fields)


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
