"""Numbers of rows for sentences on what an edit does: clients, overrides, routes switched off."""

from __future__ import annotations

from django.db.models import Count

from ..models import Client, LimitOverride, Route
from ..models.state import write_alias
from .consequences import Callers


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
