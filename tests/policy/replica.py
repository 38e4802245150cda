"""What a worker believes where reads go to a replica that lags; run by test_replica.

Prints one JSON object: what it sees, and the queries that reached the replica.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
from typing import Any

import django

django.setup()

from django.contrib.admin import site
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import RequestFactory
from django.test.utils import override_settings

from apiguard.models import ApiKey, Client, JwtIssuer, PolicyState, Route, Tier
from apiguard.policy import load, lookups
from apiguard.policy.holder import PolicyHolder


def main() -> None:
    """Write everything, and look."""
    call_command("flush", database="replica", interactive=False, verbosity=0)
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
        seen |= validated(tier)
    replica = PolicyState.objects.using("replica").count()
    print(json.dumps({"seen": seen, "asked": asked, "replica": replica}))  # noqa: T201


def validated(tier: Tier) -> dict[str, bool]:
    """Whether rows that refer to rows of the same transaction, or the one before, are valid."""
    call_command("apiguard", "baseline", verbosity=0)
    with override_settings(CORS_ALLOWED_ORIGINS=["https://app.example.com"]):
        call_command("apiguard", "import-corsheaders", "--prefix", "/api/v2/", verbosity=0)
    request = RequestFactory().post("/admin/apiguard/client/add/")
    request.user = User(is_superuser=True, is_active=True)
    form_class = site.get_model_admin(Client).get_form(request)
    made, taken = (
        form_class({"slug": slug, "name": "Form", "tier": tier.pk, "metadata": "{}"})
        for slug in ("form", "client")
    )
    return {
        "baseline": Route.objects.filter(path_prefix="/api/", header_policy__name="api").exists(),
        "imported": Route.objects.filter(cors_policy__name="corsheaders").exists(),
        "reference": made.is_valid(),
        "unique": "slug" in taken.errors,
    }


if __name__ == "__main__":
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0}):
        main()
