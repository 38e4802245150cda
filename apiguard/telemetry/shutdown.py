"""The orderly end of a process: what waits is written, and the worker's entry removed.

Python runs ``atexit`` functions when a worker of gunicorn ends (``TERM``, ``HUP``,
``max_requests``), and when uvicorn ends for any reason but ``SIGTERM``. After its
graceful shutdown uvicorn restores the handler that it found and raises the signal
once more, which by default kills the process at once. So where uvicorn has not
taken the signal yet when Django is set up, it finds a handler that finishes first.
Where it has, its server is stopped by the public attribute ``should_exit`` instead,
just as gracefully; Python ends as usual, and the last thing to happen is the signal.

No other process gets a handler for a signal from here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from .background_signals import background_signals
from .buffer import buffer
from .heartbeats import sender
from .usage import usage
from .webhooks import webhooks

# How long the end of a process waits for the database.
FLUSH_SECONDS = 2.0

# The signal that stopped the server, if it was handled here.
_stopped_by: int | None = None


def finish() -> None:
    """Write what waits and remove the worker's entry; waits a bounded time for both."""
    # All run at the same time, so that the end waits no longer than for the slowest one.
    usage.run_now()
    background_signals.run_now()
    buffer.finish(FLUSH_SECONDS)
    usage.finish(FLUSH_SECONDS)
    background_signals.finish(FLUSH_SECONDS)
    # The last of these signals may be events.
    webhooks.finish(FLUSH_SECONDS)
    sender.sign_off()


def watch_uvicorn() -> None:
    """Have a process that uvicorn serves finish at SIGTERM; called where Django is set up."""
    # Python lets no other thread handle signals.
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGTERM)
    server = _uvicorn_server(handler)
    if server is not None:
        _stop_at_sigterm(server)
    elif handler == signal.SIG_DFL and "uvicorn" in sys.modules:
        signal.signal(signal.SIGTERM, _finish_and_end)


def _uvicorn_server(handler: Any) -> Any:
    """Return the uvicorn server whose method handles a signal; ``None`` for any other handler."""
    owner = getattr(handler, "__self__", None)
    is_server = any(cls.__module__ == "uvicorn.server" for cls in type(owner).__mro__)
    return owner if is_server and hasattr(owner, "should_exit") else None


def _stop_at_sigterm(server: Any) -> None:
    def stop(signum: int, _frame: FrameType | None) -> None:
        global _stopped_by
        _stopped_by = signum
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)


def _finish_and_end(signum: int, _frame: FrameType | None) -> None:
    finish()
    _end_by(signum)


def _at_exit() -> None:
    finish()
    if _stopped_by is not None:
        _end_by(_stopped_by)


def _end_by(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)


def _forget() -> None:
    # A forked child ends by its own signals.
    global _stopped_by
    _stopped_by = None


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_forget)
