"""A process in which keys are used and their use is written; run by test_last_use.

``python -m tests.telemetry.using COMMAND [KEYS]`` on the database of
``TEST_DATABASE_URL``: ``issue`` makes the keys; ``use`` says "ready", waits
for a line, and then uses every key over and over, as many times as there are
seconds in half a minute. Prints one JSON object: what it sent to the database.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
import sys
from typing import Any

import django

django.setup()

from django.db import connection
from django.test.utils import override_settings

from apiguard.models import ApiKey, Client
from apiguard.telemetry.buffer import Buffer

FLUSHES = 30


def issue(keys: int) -> dict[str, object]:
    client = Client.objects.create(slug="a", name="A")
    for number in range(keys):
        ApiKey.objects.issue(client, f"key {number}")
    return {}


def use(keys: int) -> dict[str, object]:
    pks = list(ApiKey.objects.values_list("pk", flat=True))
    buffer, sent, written = Buffer(), [], 0

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal written
        result = execute(sql, params, many, context)
        if "last_used_at" in sql:
            sent.append(sql.split(" ", 1)[0])
            if sql.startswith("UPDATE"):
                written += context["cursor"].rowcount
        return result

    print("ready", flush=True)  # noqa: T201 - somebody waits for it
    sys.stdin.readline()
    with connection.execute_wrapper(count):
        for _ in range(FLUSHES):
            for pk in pks:
                buffer.used(pk)
            buffer.flush()
    return {"sent": sent, "written": written, "dropped": buffer.dropped}


if __name__ == "__main__":
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 3600}):
        answer = {"issue": issue, "use": use}[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(answer))  # noqa: T201 - its answer
