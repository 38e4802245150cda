"""Retries of an edit whose transaction conflicted with another editor's.

At isolation level REPEATABLE READ or SERIALIZABLE the database aborts the
second of two concurrent edits; at any level it may abort one because of a
deadlock or a lock timeout. Nothing was written then, so the edit is retried.
If it still fails, the person sees a warning, never a server error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import messages
from django.db import OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

TRIES = 5
# The attribute of a request that holds the messages of the attempt under way.
PENDING = "_apiguard_messages"

# PostgreSQL: serialization failure, deadlock, lock not available. MySQL: deadlock, lock wait.
RETRYABLE = frozenset({"40001", "40P01", "55P03", 1213, 1205, "database is locked"})


def is_retryable(error: OperationalError) -> bool:
    """Return whether the same statements may succeed when they are sent again."""
    return bool(error_codes(error) & RETRYABLE)


def error_codes(error: OperationalError) -> frozenset[Any]:
    """Return what a database says of an error: SQLSTATE, MySQL's number, SQLite's message."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return frozenset({state, *error.args[:1]})


class AddedMessage(NamedTuple):
    """A message for the next page: its level, its text, its CSS classes."""

    level: int
    text: str
    extra_tags: str = ""


def add_message(request: HttpRequest, level: int, text: object, extra_tags: str = "") -> None:
    """Show a message on the next page; what an edit adds is shown only if it was committed.

    Args:
        level: of ``django.contrib.messages``.
    """
    message = AddedMessage(level, str(text), extra_tags)
    pending: list[AddedMessage] | None = getattr(request, PENDING, None)
    if pending is None:
        messages.add_message(request, *message)
    else:
        pending.append(message)


def retry_conflicts(
    request: HttpRequest, using: str, view: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return the response of ``view``, retried after conflicts; at last a warning and a redirect.

    Raises:
        OperationalError: of any other kind.
    """
    for _try in range(TRIES):
        pending: list[AddedMessage] = []
        # Messages of an attempt that was rolled back are not true.
        setattr(request, PENDING, pending)
        try:
            response = view()
        except OperationalError as error:
            if not is_retryable(error):
                raise
        else:
            for message in pending:
                messages.add_message(request, *message)
            return response
        finally:
            setattr(request, PENDING, None)
        if connections[using].in_atomic_block:
            # ATOMIC_REQUESTS: the transaction belongs to Django and cannot be restarted here.
            transaction.set_rollback(True, using=using)
            break
    text = _("Somebody else changed policy at the same moment. Nothing was saved: try again.")
    messages.warning(request, text)
    return HttpResponseRedirect(request.get_full_path())
