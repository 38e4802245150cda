"""What a worker believes where reads go to a replica that lags; run by test_replica.

Prints one JSON object: what it sees, and the queries that reached the replica.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User
from django.db import connections
from django.test.utils import override_settings

from apiguard.models import ApiKey, Client, JwtIssuer, PolicyState, Route, Tier
from apiguard.policy import load, lookups
from apiguard.policy.holder import PolicyHolder


def main() -> None:
    """Write everything, and look."""
    asked: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        asked.append(sql)
        return execute(sql, *args)

    reader = PolicyHolder()
    with connections["replica"].execute_wrapper(note):
        before = reader.snapshot().revision
        tier = Tier.objects.create(slug="tier", name="Tier")
        client = Client.objects.create(slug="client", name="Client", tier=tier)
        key, _ = ApiKey.objects.issue(client, "key")
        route = Route.objects.create(name="one", path_prefix="/one/")
        route.cost = 7
        route.save()
        Route.objects.filter(name="one").update(cost=8)
        Route.objects.update_or_create({"cost": 9}, name="one")
        user = User.objects.create(username="ann")
        issuer = JwtIssuer.objects.create(name="i", issuer="i", audiences=["a"])
        snapshot = reader.snapshot()
        seen = {
            "revisions": snapshot.revision - before,
            "cost": snapshot.routes.find("/one/").cost,
            "key": lookups.key(snapshot, key.key_id) is not None,
            "user": lookups.user("pk", user.pk) == user,
            "issuer": load.issuer(issuer.pk) == issuer,
        }
        User.objects.filter(pk=user.pk).update(is_active=False)
        key.revoke("lost")
        seen["inactive"] = lookups.user("pk", user.pk) is None
        seen["revoked"] = lookups.key(reader.snapshot(), key.key_id).revoked
    replica = PolicyState.objects.using("replica").count()
    print(json.dumps({"seen": seen, "asked": asked, "replica": replica}))  # noqa: T201


if __name__ == "__main__":
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0}):
        main()
