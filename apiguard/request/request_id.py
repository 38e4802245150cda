"""One id per request: on the response, in every log line, in every refusal."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar

from ..conf import Settings
from ..rules.networks import is_trusted

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")

current_id: ContextVar[str] = ContextVar("apiguard_request_id", default="")


def request_id(inbound: str | None, remote_addr: str, settings: Settings) -> str:
    """The inbound id, if it is well-formed and its sender is believed; else a new one."""
    if inbound is not None and _WELL_FORMED.match(inbound) and _believed(remote_addr, settings):
        return inbound
    return uuid.uuid4().hex


def _believed(remote_addr: str, settings: Settings) -> bool:
    if settings.trust_request_id == "proxies":
        return is_trusted(remote_addr, settings.trusted_proxies, settings.trust_unix)
    return settings.trust_request_id == "always"


class RequestIdFilter(logging.Filter):
    """Gives every log record ``request_id`` (empty outside requests), for formatters."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs a refused request when all middleware has returned, and names the request.
        passage = getattr(getattr(record, "request", None), "apiguard", None)
        record.request_id = current_id.get() or getattr(passage, "request_id", "")
        return True
