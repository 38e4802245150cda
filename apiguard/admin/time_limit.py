"""A time limit for pages that read what grows with every request.

A search in millions of refusals that no index answers may take minutes. Whoever is in a
hurry would wait, ask again, and hold a worker and the database each time. So the database
ends each statement of such a page after ``STATEMENT_SECONDS``, and the page says how to ask
for less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from django.contrib.admin import AdminSite
from django.db import OperationalError, connections, router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..models import Refusal
from ..models.state import write_alias
from .conflict_retry import error_codes

STATEMENT_SECONDS = 5
# What a database calls a statement that it has ended: PostgreSQL, MariaDB, MySQL, SQLite.
ENDED = frozenset({"57014", 1969, 3024, "interrupted"})
# SQLite asks so often whether to go on: every so many instructions of its machine.
INSTRUCTIONS = 10_000


def in_time(
    request: HttpRequest, site: AdminSite, view: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return the rendered response of ``view``; where the database was too slow, a page (503)."""
    if request.method not in ("GET", "HEAD"):
        return view()
    try:
        with ExitStack() as stack:
            for alias in sorted({write_alias(), router.db_for_read(Refusal)}):
                stack.enter_context(_limited(alias))
            response = view()
            # Querysets are read while the template is rendered.
            return response.render() if isinstance(response, TemplateResponse) else response
    except OperationalError as error:
        if not error_codes(error) & ENDED:
            raise
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": _("This took too long"),
        "seconds": STATEMENT_SECONDS,
    }
    return TemplateResponse(request, "admin/apiguard/too_slow.html", context, status=503)


@contextmanager
def _limited(alias: str) -> Iterator[None]:
    """End statements over this connection that take longer, inside the block."""
    connection = connections[alias]
    milliseconds = int(STATEMENT_SECONDS * 1000)
    if connection.vendor == "postgresql":
        # For this transaction alone: a pooler may hand the session to somebody else.
        with transaction.atomic(using=alias):
            _execute(alias, f"SET LOCAL statement_timeout = {milliseconds}")
            yield
    elif connection.vendor == "mysql":
        is_mariadb = getattr(connection, "mysql_is_mariadb", False)
        limit = "max_statement_time" if is_mariadb else "max_execution_time"
        value = milliseconds / 1000 if is_mariadb else milliseconds
        _execute(alias, f"SET SESSION {limit} = {value}")
        try:
            yield
        finally:
            _execute(alias, f"SET SESSION {limit} = DEFAULT")
    elif connection.vendor == "sqlite":
        # It has no limit for one statement, so this one holds for all of the block.
        connection.ensure_connection()
        latest = time.monotonic() + STATEMENT_SECONDS
        handle = connection.connection
        handle.set_progress_handler(lambda: time.monotonic() > latest, INSTRUCTIONS)
        try:
            yield
        finally:
            handle.set_progress_handler(None, INSTRUCTIONS)
    else:
        yield


def _execute(alias: str, statement: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
