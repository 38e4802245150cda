"""Retries of an edit whose transaction conflicted with another editor's.

At isolation level REPEATABLE READ or SERIALIZABLE the database aborts the
second of two concurrent edits; at any level it may abort one because of a
deadlock or a lock timeout. Nothing was written then, so the edit is retried.
If it still fails, the person sees a warning, never a server error.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.db import OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

TRIES = 5

# SQLSTATE: serialization failure, deadlock, lock not available. MySQL: deadlock, lock wait.
STATES = frozenset({"40001", "40P01", "55P03"})
NUMBERS = frozenset({1213, 1205})


def is_retryable(error: OperationalError) -> bool:
    """Return whether the same statements may succeed when they are sent again."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = error.args[0] if error.args else None
    return state in STATES or number in NUMBERS or number == "database is locked"


def retry_conflicts(
    request: HttpRequest, using: str, view: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return the response of ``view``, retried after conflicts; at last a warning and a redirect.

    Raises:
        OperationalError: of any other kind.
    """
    storage = getattr(request, "_messages", None)
    queued = list(getattr(storage, "_queued_messages", ()))
    for _try in range(TRIES):
        try:
            return view()
        except OperationalError as error:
            if not is_retryable(error):
                raise
        if storage is not None:
            # Messages of the attempt that was rolled back are not true.
            storage._queued_messages[:] = queued
        if connections[using].in_atomic_block:
            # ATOMIC_REQUESTS: the transaction belongs to Django and cannot be restarted here.
            transaction.set_rollback(True, using=using)
            break
    text = _("Somebody else changed policy at the same moment. Nothing was saved: try again.")
    messages.warning(request, text)
    return HttpResponseRedirect(request.get_full_path())
