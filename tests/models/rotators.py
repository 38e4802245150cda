"""A process whose threads rotate one key at once; run by test_key_rotation_at_once.

``python -m tests.models.rotators GRACE`` on the migrated database of
``TEST_DATABASE_URL``. Prints one JSON object.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import django

django.setup()

from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from apiguard.models import ApiKey, Client

THREADS = 6
ROUNDS = 5


def rotate_at_once(key: ApiKey, grace: timedelta) -> list[str]:
    """What each of several threads was told that had all read ``key``."""
    together = threading.Barrier(THREADS)

    def rotate(_: int) -> str:
        try:
            mine = ApiKey.objects.get(pk=key.pk)
            together.wait(30)
            mine.rotate(grace, reason="at once")
        except ValidationError as told:
            return " ".join(told.messages)
        finally:
            connections.close_all()
        return "rotated"

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(rotate, range(THREADS)))


def revoke_while_rotating(key: ApiKey) -> bool:
    """Whether a key that one thread revokes and another rotates stays revoked."""
    together = threading.Barrier(2)

    def act(what: str) -> None:
        mine = ApiKey.objects.get(pk=key.pk)
        together.wait(30)
        try:
            mine.revoke("lost") if what == "revoke" else mine.rotate(timedelta(days=1))
        except ValidationError:
            pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(act, ("revoke", "rotate")))
    return ApiKey.objects.get(pk=key.pk).revoked_at is not None


def main(grace: timedelta) -> dict[str, object]:
    client = Client.objects.create(slug="acme", name="Acme")
    rounds, ended = [], []
    for number in range(ROUNDS):
        key = ApiKey.objects.issue(client, f"k{number}")[0]
        told = rotate_at_once(key, grace)
        stored = ApiKey.objects.get(pk=key.pk)
        rounds.append(
            {
                "told": sorted(told),
                "successors": key.replaced_by.count(),
                "revoked": stored.revoked_at is not None,
                "ends": stored.expires_at is not None and stored.expires_at > timezone.now(),
            }
        )
        ended.append(revoke_while_rotating(ApiKey.objects.issue(client, "r")[0]))
    return {"rounds": rounds, "ended": ended, "threads": THREADS}


if __name__ == "__main__":
    print(json.dumps(main(timedelta(seconds=int(sys.argv[1])))))  # noqa: T201 - read by the test
