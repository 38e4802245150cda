"""What becomes of an edit that another editor's transaction overtook.

Where the database isolates transactions as REPEATABLE READ or SERIALIZABLE,
the second of two editors is refused by it; at any level a deadlock or a lock
that cannot be had may be. Nothing was written then, so the edit is tried
again, and a person is told if that does not help. Never a server error.
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
    """Whether the same statements may well succeed when they are sent again."""
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
            # What the rolled back try had to say is not so.
            storage._queued_messages[:] = queued
        if connections[using].in_atomic_block:
            # ATOMIC_REQUESTS: what is broken is not ours to begin again.
            transaction.set_rollback(True, using=using)
            break
    text = _("Somebody else changed policy at the same moment. Nothing was saved: try again.")
    messages.warning(request, text)
    return HttpResponseRedirect(request.get_full_path())
