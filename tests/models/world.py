"""Some policy to write to."""

from __future__ import annotations

import json

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
