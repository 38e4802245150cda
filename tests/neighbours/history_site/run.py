"""Write rows as several callers, with each package's middleware; print who is in the history.

One JSON object: "package / way / caller / path" -> [status, user, the caller's other name].
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.neighbours.history_site.settings"
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client, override_settings  # noqa: E402

from apiguard.models import ApiKey, Route  # noqa: E402
from apiguard.models import Client as ClientRow  # noqa: E402

RECIPES = "tests.neighbours.history_site.recipes"
PACKAGES = {
    "simple_history": ("note", "simple_history.middleware.HistoryRequestMiddleware"),
    "reversion": ("page", "reversion.middleware.RevisionMiddleware"),
    "auditlog": ("entry", "auditlog.middleware.AuditlogMiddleware"),
}
OURS = {
    "simple_history": f"{RECIPES}.HistoryMiddleware",
    "reversion": f"{RECIPES}.RevisionMiddleware",
    "auditlog": f"{RECIPES}.AuditlogMiddleware",
}


def last_entry(package: str) -> tuple[User | None, Any]:
    """The user and the other name of the caller in the newest entry of the history."""
    if package == "simple_history":
        from tests.neighbours.history_site.models import Note

        kept = Note.history.latest()
        return kept.history_user, kept.history_change_reason
    if package == "reversion":
        from reversion.models import Revision

        revision = Revision.objects.latest("pk")
        return revision.user, revision.comment
    from auditlog.models import LogEntry

    entry = LogEntry.objects.latest("pk")
    return entry.actor, (entry.additional_data or {}).get("principal")


def keys() -> dict[str, str]:
    """One key of a client without an owner, one of a client that acts as olga."""
    olga = User.objects.create(username="olga")
    acting = {"owner": olga, "acts_as_owner": True}
    made = {}
    for caller, fields in {"client": {}, "owner": acting}.items():
        row = ClientRow.objects.create(slug=caller, name=caller, **fields)
        made[caller] = ApiKey.objects.issue(row, "k")[1]
    return made


def main() -> None:
    call_command("migrate", verbosity=0, run_syncdb=True)
    Route.objects.create(name="api", path_prefix="/api/", access="credentials", mode="enforce")
    callers = keys()
    results = {}
    for package, (model, middleware) in PACKAGES.items():
        for way, path in {"without": middleware, "recipe": OURS[package]}.items():
            for caller, text in callers.items():
                for url in (f"/api/{model}", f"/api/drf/{model}"):
                    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, path]):
                        client = Client(raise_request_exception=False)
                        status = client.post(url, headers={"X-API-Key": text}).status_code
                    user, other = last_entry(package) if status == 201 else (None, None)
                    entry = [status, user and user.username, other]
                    results[f"{package} / {way} / {caller} / {url}"] = entry
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
