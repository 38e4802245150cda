"""Some policy to write to."""

from __future__ import annotations

import json

from django.db import connection

from apiguard.models import (
    AllowedOrigin,
    Client,
    CorsPolicy,
    Limit,
    LimitOverride,
    PolicyState,
    Route,
    Tier,
)


class World:
    """Some rows of every relation that a door needs."""

    def __init__(self):
        self.policy = CorsPolicy.objects.create(name="browsers")
        self.other = CorsPolicy.objects.create(name="others")
        self.origin = AllowedOrigin.objects.create(policy=self.policy, pattern="https://a.example")
        self.route = Route.objects.create(name="api", path_prefix="/api/")
        self.tier = Tier.objects.create(slug="free", name="Free")
        self.limit = Limit.objects.create(tier=self.tier, name="m", amount=5, period=60)
        self.client = Client.objects.create(slug="acme", name="Acme")
        self.override = LimitOverride.objects.create(client=self.client, limit=self.limit, amount=9)

    def fixture(self, tmp_path, model="apiguard.route", **fields):
        path = tmp_path / "rows.json"
        path.write_text(json.dumps([{"model": model, "pk": 77, "fields": fields}]))
        return str(path)


def rename_all(rows):
    for row in rows:
        row.name = f"{row.name}!"
    return rows


def revision():
    return PolicyState.objects.get().revision


def statements(captured):
    """What was sent, with names quoted alike in every database."""
    ran = [query["sql"].replace("`", '"') for query in captured]
    return [sql for sql in ran if not sql.startswith(("PRAGMA", "SET "))]


def conflicts_in(field):
    """The unique fields of an upsert; MariaDB looks at all of them and takes no names."""
    return [field] if connection.features.supports_update_conflicts_with_target else None
