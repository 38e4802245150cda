"""Makes a database of a case hold a great many keys, by raw SQL and ``apiguard publish``.

    BENCH_CASE=guard-alone python -m benchmarks.many_keys NUMBER

Prints the texts of some of them as JSON. The others have the digests of
nobody's keys; to a look-up they are keys like all others.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django
from django.core.management import call_command
from django.db import connection

CHUNKS, REAL_PER_CHUNK = 10, 50


def copies(table: str, columns: list[str], template_pk: int, number: int) -> None:
    """So many copies of a row, each with a key id and a digest of its own."""
    replaced = {
        "key_id": "substr(hex(randomblob(6)), 1, 12)",
        "digest": "lower(hex(randomblob(32)))",
    }
    values = ", ".join(replaced.get(column, f'template."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        # An id that is taken already is left out: one in a thousand runs.
        cursor.execute(
            f"INSERT OR IGNORE INTO {table} ({names}) "  # noqa: S608 - names of a model
            "WITH RECURSIVE numbers(n) AS "
            "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s) "
            f"SELECT {values} FROM numbers, {table} AS template WHERE template.id = %s",
            [number, template_pk],
        )


def fill(number: int) -> list[str]:
    """So many more keys; the texts of some, from everywhere in the table."""
    from apiguard.models import ApiKey

    template = ApiKey.objects.get(client__slug="acme")
    fields: Any = ApiKey._meta.concrete_fields
    columns = [field.column for field in fields if not field.primary_key]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")
    texts: list[str] = []
    for _ in range(CHUNKS):
        copies(ApiKey._meta.db_table, columns, template.pk, number // CHUNKS)
        made = [ApiKey.objects.build(template.client, "some") for _ in range(REAL_PER_CHUNK)]
        ApiKey.objects.bulk_create([key for key, _ in made])
        texts += [text for _, text in made]
    if ApiKey.objects.count() < number:
        raise SystemExit("There are fewer keys than there should be.")
    call_command("apiguard", "publish", stdout=io.StringIO())
    return texts


if __name__ == "__main__":
    django.setup()
    json.dump(fill(int(sys.argv[1])), sys.stdout)
