"""The admin's pages with very many rows: queries, and time beside a stock list of users.

    python -m benchmarks.admin_pages [--small]

On a PostgreSQL of its own: 10,000 clients, 100,000 keys, 1,000,000 usage rows over 90 days,
200,000 refused requests and, for comparison, 10,000 users in Django's own change list.
``--small`` divides all numbers by 100, to see that it runs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import Table, progress, say
from tests.servers import clean_environment
from tests.stores import postgres_database, postgres_server

CHECKOUT = Path(__file__).resolve().parents[1]
CLIENTS, KEYS_PER_CLIENT, USERS = 10_000, 10, 10_000
USAGE, REFUSALS, DAYS = 1_000_000, 200_000, 90
REPEATED = 7
STOCK = "stock list of users"


# -- rows, by SQL, because a million of them take an ORM minutes ---------------------------


def fill(divisor: int) -> None:
    """Make the rows."""
    from django.core.management import call_command
    from django.db import connection

    from apiguard.models import Client, Limit, Route, Tier
    from apiguard.transfer.baseline import write_baseline

    call_command("migrate", verbosity=0)
    write_baseline(prefix="/api/", enforce=True)
    tier = Tier.objects.get(slug="standard")
    for number in range(20):
        Route.objects.create(name=f"r{number}", path_prefix=f"/api/r{number}/")
    Limit.objects.create(tier=tier, name="export", amount=10, period=60)
    first, _ = Client.objects.get_or_create(slug="first", name="First", tier=tier)
    clients = CLIENTS // divisor
    with connection.cursor() as cursor:
        for sql, values in (
            (_CLIENTS, [tier.pk, clients]),
            (_KEYS, [first.pk, clients, KEYS_PER_CLIENT]),
            (_USERS, [USERS // divisor]),
            (_HOURS, [first.pk, clients, USAGE // divisor // 2]),
            (_DAYS, [first.pk, clients, USAGE // divisor // 2]),
            (_REFUSALS, [first.pk, clients, REFUSALS // divisor]),
            ("ANALYZE", []),
        ):
            cursor.execute(sql, values)


_CLIENTS = """
INSERT INTO apiguard_client
    (slug, name, tier_id, acts_as_owner, enabled, allowed_networks, metadata)
SELECT 'c' || n, 'Client ' || n, %s, false, true, '[]', '{}' FROM generate_series(1, %s) AS n
"""
_KEYS = """
INSERT INTO apiguard_apikey
    (client_id, name, environment, key_id, digest, pepper_id, scopes, allowed_networks,
     created_at, last_used_at, last_used_from, revoke_reason)
SELECT %s + n, 'key ' || k, 'live', lpad(to_hex(n), 8, '0') || lpad(to_hex(k), 4, '0'),
    md5('d' || n || '-' || k) || md5('e' || n || '-' || k), 'tests', '["orders:read"]', '[]',
    now() - interval '100 days', now() - random() * interval '99 days', '192.0.2.0/24', ''
FROM generate_series(1, %s) AS n, generate_series(1, %s) AS k
"""
_USERS = """
INSERT INTO auth_user
    (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
     date_joined)
SELECT '!', false, 'user' || n, '', '', '', false, true, now() FROM generate_series(1, %s) AS n
"""
_OUTCOME = "CASE WHEN n %% 10 = 0 THEN 'limit_exceeded' ELSE 'admitted' END"
# Busy clients have more rows than others: the square of a random number.
_CALLER = "%s + 1 + floor(power(random(), 2) * %s)::int AS client"
_ADDED = """
INSERT INTO apiguard_usage
    (start, is_day, route_pk, client_pk, key_pk, outcome, enforced, requests)
SELECT start, {is_day}, route, client, client * 10, outcome, true, 1 + n %% 500
FROM (
    SELECT n, {start} AS start, 1 + n %% 20 AS route, {caller}, {outcome} AS outcome
    FROM generate_series(1, %s) AS n
) AS made
ON CONFLICT DO NOTHING
"""
_HOURS = _ADDED.format(
    is_day="false",
    start="date_trunc('hour', now()) - (n %% 168) * interval '1 hour'",
    caller=_CALLER,
    outcome=_OUTCOME,
)
_DAYS = _ADDED.format(
    is_day="true",
    start="(date_trunc('day', now() AT TIME ZONE 'UTC') - (8 + n %% 82) * interval '1 day')"
    " AT TIME ZONE 'UTC'",
    caller=_CALLER,
    outcome=_OUTCOME,
)
_REFUSALS = """
INSERT INTO apiguard_refusal
    (at, request_id, method, path, origin, content_type, accept, status, enforced, outcome,
     reason, route_pk, route_name, row_model, row_pk, row_name, client_pk, client_slug, key_id,
     principal, is_identified, address, revision, limits)
SELECT now() - random() * interval '7 days', md5('r' || n), 'GET', '/api/orders', '', '', '', 429,
    true, 'limit_exceeded', 'per-minute', 1 + n %% 20, 'r' || n %% 20, 'limit', '1', 'per-minute',
    client, 'c' || client, '', 'client:' || client, true, '192.0.2.1', 1, '[]'
FROM (
    SELECT n, %s + 1 + floor(power(random(), 2) * %s)::int AS client
    FROM generate_series(1, %s) AS n
) AS made
"""


# -- pages ---------------------------------------------------------------------------------


def measure() -> list[dict[str, Any]]:
    """Queries and seconds of each page, in the order in which they are printed."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client as Browser
    from django.test.utils import CaptureQueriesContext

    from apiguard.models import Usage

    browser = Browser(headers={"host": "localhost"})
    browser.force_login(User.objects.create_superuser("root"))
    busiest = Usage.objects.order_by("client_pk").values_list("client_pk", flat=True)[0]
    found = []
    for name, path in _pages(busiest):
        seconds = []
        for _time in range(REPEATED + 1):
            began = time.perf_counter()
            response = browser.get(path)
            seconds.append(time.perf_counter() - began)
            if response.status_code != 200:
                raise SystemExit(f"{path} was answered {response.status_code}.")
        with CaptureQueriesContext(connection) as queries:
            browser.get(path)
        # The first one reads policy and templates.
        found.append(
            {
                "page": name,
                "queries": len(queries),
                "seconds": statistics.median(seconds[1:]),
                "rows": Usage.objects.count() if name == STOCK else 0,
            }
        )
    return found


def _pages(client_pk: int) -> list[tuple[str, str]]:
    from apiguard.models import Client, Route

    slug = Client.objects.get(pk=client_pk).slug
    route = Route.objects.get(name="r1").name
    usage = "/admin/apiguard/usage/"
    return [
        (STOCK, "/admin/auth/user/"),
        ("list of clients", "/admin/apiguard/client/"),
        ("list of keys", "/admin/apiguard/apikey/"),
        ("keys unused for 30 days", "/admin/apiguard/apikey/?unused=30"),
        ("a client", f"/admin/apiguard/client/{client_pk}/change/"),
        ("overview", "/admin/apiguard/overview/"),
        ("usage, 24 hours", f"{usage}?days=1"),
        ("usage, 7 days", f"{usage}?days=7"),
        ("usage, 90 days", f"{usage}?days={DAYS}"),
        ("usage of a client, 90 days", f"{usage}?client={slug}&days={DAYS}"),
        ("usage of a route, 30 days", f"{usage}?route={route}&days=30"),
        ("list of refused requests", "/admin/apiguard/refusal/"),
        ("refused requests of a client", f"/admin/apiguard/refusal/?client={slug}"),
        ("refused requests, grouped", "/admin/apiguard/refusal/grouped/"),
    ]


# -- in the process that prints ------------------------------------------------------------


def _run(url: str, *arguments: str) -> Any:
    environment = {
        "TEST_DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "project.settings_test",
    }
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "benchmarks.admin_pages", *arguments],
        cwd=CHECKOUT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def table(found: Sequence[dict[str, Any]]) -> Table:
    """The figures, each beside the stock list."""
    stock = found[0]["seconds"]
    return Table(
        "Pages with very many rows",
        f"PostgreSQL, {found[0]['rows']:,} usage rows; medians of {REPEATED}.",
        ["page", "queries", "ms", "ratio"],
        [
            [
                one["page"],
                one["queries"],
                f"{one['seconds'] * 1e3:.0f}",
                f"{one['seconds'] / stock:.1f}",
            ]
            for one in found
        ],
    )


def main(arguments: Sequence[str]) -> None:
    divisor = "100" if "--small" in arguments else "1"
    with postgres_server() as server:
        name = f"pages_{uuid.uuid4().hex[:8]}"
        with postgres_database(server.base_url, name) as url:
            progress("rows")
            _run(url, "fill", divisor)
            progress("pages")
            say(table(_run(url, "measure")).text())


if __name__ == "__main__":
    if sys.argv[1:2] in (["fill"], ["measure"]):
        import django

        django.setup()
        answer = fill(int(sys.argv[2])) if sys.argv[1] == "fill" else measure()
        sys.stdout.write(f"{json.dumps(answer)}\n")
    else:
        main(sys.argv[1:])
