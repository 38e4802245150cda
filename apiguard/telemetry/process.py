"""How this process is called wherever people read about it."""

from __future__ import annotations

import os
import socket

from ..models import CounterOutage


def process_name() -> str:
    """Return host and process id, such as "web-2:4242"."""
    return f"{socket.gethostname()}:{os.getpid()}"[-CounterOutage.MAX_PROCESS :]
