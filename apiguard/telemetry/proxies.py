"""Proxies that the settings lack: forwarding headers from a private address, not trusted.

All who come through such a proxy are counted as one, which looks like a limit
that is far too low. A request only reads a dictionary.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import datetime

from .. import conf
from ..models import UntrustedProxy
from ..models.state import write_alias
from ..rules.networks import contains, parse_address
from .buffer import buffer

logger = logging.getLogger("apiguard.proxies")

MAX_ADDRESSES = 100
# How often an address that goes on is written.
EVERY_SECONDS = 300.0

# Address as it was given -> when it was last noted, in monotonic seconds.
_noted: dict[str, float] = {}
_lock = threading.Lock()


def note(remote_addr: str) -> None:
    """``remote_addr``, private and not in ``TRUSTED_PROXIES``, sent a forwarding header.

    Logged once per process and address, for at most ``MAX_ADDRESSES`` of them.
    """
    now = time.monotonic()
    last = _noted.get(remote_addr)
    if last is not None and now - last < EVERY_SECONDS:
        return
    address = parse_address(remote_addr)
    if address is None:
        return
    with _lock:
        known = remote_addr in _noted
        if not known and len(_noted) >= MAX_ADDRESSES:
            return
        _noted[remote_addr] = now
    if not known:
        logger.warning(
            "Forwarding headers from %s are not believed: it is not in "
            "APIGUARD['TRUSTED_PROXIES'], so all who come through it are counted as one.",
            address,
        )
    buffer.proxy(str(address))


def untrusted_since(at: datetime) -> list[UntrustedProxy]:
    """Return those that were seen after ``at`` and that the settings do not name by now."""
    rows = UntrustedProxy.objects.using(write_alias()).since(at)
    trusted = conf.current().trusted_proxies
    return [row for row in rows if not contains(trusted, parse_address(row.address))]


def forget() -> None:
    """Begin anew, as a process does that was forked."""
    global _lock
    _lock = threading.Lock()
    _noted.clear()


os.register_at_fork(after_in_child=forget)
