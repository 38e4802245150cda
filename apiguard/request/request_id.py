"""One id per request: on the response, in every log line, in every refusal.

Beside it in the log, the ids of the caller's trace. All of them are checked
before they are kept, so that no id breaks a log into lines.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.views.decorators.debug import sensitive_variables

from ..conf import Settings
from ..rules.networks import is_trusted
from ..rules.trace import parse_traceparent
from .facts import remote_addr_of

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class Ids(NamedTuple):
    """What names a request in logs; empty where there is nothing to name."""

    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""


NOBODY = Ids()
current_ids: ContextVar[Ids] = ContextVar("apiguard_ids", default=NOBODY)


@sensitive_variables("meta")
def ids_of(meta: Mapping[str, Any], settings: Settings) -> Ids:
    """Return the ids of a request, from a WSGI-like environ (``request.META``)."""
    inbound = meta.get(settings.request_id_meta)
    if inbound is None:
        this_id = os.urandom(16).hex()
    else:
        this_id = request_id(inbound, remote_addr_of(meta), settings)
    traceparent = meta.get("HTTP_TRACEPARENT")
    return Ids(this_id) if traceparent is None else _traced(this_id, traceparent)


def request_id(inbound: str | None, remote_addr: str, settings: Settings) -> str:
    """Return the inbound id, if it is well-formed and its sender is believed; else a new one."""
    if inbound is not None and _WELL_FORMED.match(inbound) and _believed(remote_addr, settings):
        return inbound
    return os.urandom(16).hex()


def _believed(remote_addr: str, settings: Settings) -> bool:
    if settings.trust_request_id == "proxies":
        return is_trusted(remote_addr, settings.trusted_proxies, settings.trust_unix)
    return settings.trust_request_id == "always"


def _traced(this_id: str, traceparent: str) -> Ids:
    trace = parse_traceparent(traceparent)
    return Ids(this_id) if trace is None else Ids(this_id, *trace)


class RequestIdFilter(logging.Filter):
    """Gives every log record ``request_id``, ``trace_id`` and ``span_id``, for formatters.

    Each is empty where there is none. ``span_id`` is the caller's.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        ids = current_ids.get()
        if ids is NOBODY:
            ids = _named_by(record)
        record.request_id, record.trace_id, record.span_id = ids
        return True


def _named_by(record: logging.LogRecord) -> Ids:
    """Return what a record says itself: Django logs errors when all middleware has returned."""
    request: Any = getattr(record, "request", None)
    this_id = getattr(getattr(request, "apiguard", None), "request_id", "")
    if not this_id:
        return Ids(getattr(record, "apiguard_request_id", ""))
    return _traced(this_id, request.META.get("HTTP_TRACEPARENT") or "")


# C0 and C1 controls, DEL, and what some readers take for the end of a line.
_BREAKING = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class OneLineFilter(logging.Filter):
    """Escapes control characters in messages: no value that a request brings begins a line.

    A record's traceback stays as it is; formatters put it below.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            return True  # A mistake of who logs; the handler reports it, and raises nothing.
        if _BREAKING.search(message):
            record.msg, record.args = _BREAKING.sub(_escaped, message), None
        return True


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
