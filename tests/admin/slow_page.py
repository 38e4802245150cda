"""A page of the desk whose query takes too long, on the database of ``TEST_DATABASE_URL``.

``python -m tests.admin.slow_page`` prints one JSON object: status and text of the page. It
fails where the connection does not answer slow queries again afterwards.
"""

from __future__ import annotations

import json
from unittest import mock

import django

if __name__ == "__main__":
    django.setup()

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser

from apiguard.admin import time_limit
from apiguard.admin.refusals import list as refusals

SLOW = {
    "postgresql": "SELECT pg_sleep({0})",
    "mysql": "SELECT SLEEP({0})",
    "sqlite": (
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many LIMIT {0}000000) "
        "SELECT COUNT(*) FROM many"
    ),
}


def ask_slowly(seconds: int) -> None:
    """Let the database work for so many seconds; SQLite for about as long."""
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor].format(seconds))
        cursor.fetchall()


def page_of(browser: Browser, seconds: int) -> tuple[int, str]:
    """Status and text of the list of refusals, where a query takes so long."""
    listed = refusals.RefusalAdmin.get_queryset

    def get_queryset(self, request):
        ask_slowly(seconds)
        return listed(self, request)

    with (
        mock.patch.object(refusals.RefusalAdmin, "get_queryset", get_queryset),
        mock.patch.object(time_limit, "STATEMENT_SECONDS", 1),
    ):
        answer = browser.get("/admin/apiguard/refusal/")
    return answer.status_code, answer.content.decode()


def main() -> None:
    """Ask once for too much, and then without a limit."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("boss", password="boss"))
    status, text = page_of(browser, 30)
    ask_slowly(2)
    print(json.dumps({"status": status, "text": text}))  # noqa: T201


if __name__ == "__main__":
    main()
