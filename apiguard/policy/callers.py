"""What sentences on an edit need of rows that are not compiled.

Their numbers by tier and limit, and the records of those clients and keys that it touches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count

from ..models import ApiKey, Client, LimitOverride, Route
from ..models.state import write_alias
from .consequences import CallerRecords, Callers
from .records import client_record, key_record


def read_callers() -> Callers:
    """Count clients by tier and overrides by limit; three queries."""
    clients = Client._base_manager.using(write_alias()).filter(enabled=True).order_by()
    overrides = LimitOverride._base_manager.using(write_alias()).order_by()
    routes = Route._base_manager.using(write_alias()).filter(mode=Route.Mode.OFF)
    return Callers(
        clients=dict(clients.values_list("tier_id").annotate(Count("pk"))),
        overrides=dict(overrides.values_list("limit_id").annotate(Count("pk"))),
        off=tuple(routes.order_by("path_prefix").values_list("pk", "name", "path_prefix")),
    )


def read_caller_records(clients: Iterable[Any] = (), keys: Iterable[Any] = ()) -> CallerRecords:
    """Read the clients and keys that have these primary keys; at most three queries."""
    using = write_alias()
    client_pks, key_pks = list(clients), list(keys)
    overrides: dict[Any, list[LimitOverride]] = {}
    if client_pks:
        for row in LimitOverride._base_manager.using(using).filter(client__in=client_pks):
            overrides.setdefault(row.client_id, []).append(row)
    found = Client._base_manager.using(using).filter(pk__in=client_pks)
    own = ApiKey._base_manager.using(using).filter(pk__in=key_pks).select_related("client")
    return CallerRecords(
        {row.pk: client_record(row, overrides.get(row.pk, ())) for row in found},
        {row.pk: key_record(row) for row in own},
    )
