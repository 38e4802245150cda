"""A logging filter that keeps API keys out of logs, for the project's ``LOGGING``.

::

    "filters": {"mask_keys": {"()": "apiguard.telemetry.masking.MaskKeys"}},
    "handlers": {"console": {..., "filters": ["mask_keys"]}},

Put it on handlers: a filter on a logger does not see what its children log.
What is left of a key is its public part, ``ag_live_<id>_…``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .. import conf
from ..rules.imported_keys import mask_any as mask

_exceptions = logging.Formatter()


class MaskKeys(logging.Filter):
    """Masks keys in the message, its arguments, the traceback and all other text of a record.

    Never raises and never drops a record. A handler that renders ``exc_info``
    by itself (mail, Sentry) shows values of local variables and needs a
    scrubber of its own; ``exc_text``, which formatters print, is masked here.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        namespace = _namespace()
        _mask_traceback(record, namespace)
        for name, value in list(record.__dict__.items()):
            if isinstance(value, str):
                record.__dict__[name] = mask(value, namespace)
        if record.args:
            _mask_arguments(record, namespace)
        return True


def _namespace() -> str:
    try:
        return conf.current().key_namespace
    except ImproperlyConfigured:
        # The log line that reports it must come out.
        return conf.Settings().key_namespace


def _mask_traceback(record: logging.LogRecord, namespace: str) -> None:
    """Format the traceback in advance if there is a key in it; formatters print what is there."""
    if not record.exc_info or record.exc_text:
        return
    try:
        traceback = _exceptions.formatException(record.exc_info)
    except Exception:  # noqa: BLE001 - its text raises; the formatter meets that again
        return
    masked = mask(traceback, namespace)
    if masked != traceback:
        record.exc_text = masked


def _mask_arguments(record: logging.LogRecord, namespace: str) -> None:
    """Mask text among the arguments; what only shows when it is formatted, is formatted here."""
    args = record.args
    if isinstance(args, Mapping):
        record.args = {name: _masked(value, namespace) for name, value in args.items()}
    elif isinstance(args, tuple):
        record.args = tuple(_masked(value, namespace) for value in args)
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler meets it again, and reports it as logging does
        return
    masked = mask(message, namespace)
    if masked != message:
        record.msg, record.args = masked, ()


def _masked(value: Any, namespace: str) -> Any:
    return mask(value, namespace) if isinstance(value, str) else value
