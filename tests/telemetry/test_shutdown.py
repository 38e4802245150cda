"""The end of a process: only SIGTERM of uvicorn is taken over, by a public attribute."""

from __future__ import annotations

import signal
import sys
import threading

import pytest
from uvicorn import Config, Server

from apiguard.telemetry import shutdown


@pytest.fixture
def handler(monkeypatch):
    """Restores whatever handled SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(shutdown, "_stopped_by", None)
    yield lambda: signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def test_uvicorn_is_stopped_as_gracefully_as_by_itself(handler):
    server = Server(Config("project.asgi:application"))
    # Fails where uvicorn renames what is used here.
    assert server.should_exit is False
    signal.signal(signal.SIGTERM, server.handle_exit)
    shutdown.watch_uvicorn()
    signal.raise_signal(signal.SIGTERM)
    assert server.should_exit
    assert shutdown._stopped_by == signal.SIGTERM


class Other:
    should_exit = False

    def handle_exit(self, signum, frame):
        pass


@pytest.mark.parametrize(
    "existing",
    [signal.SIG_IGN, lambda signum, frame: None, Other().handle_exit],
    ids=["ignored", "a function", "another server's"],
)
def test_any_other_handler_is_left_alone(handler, existing):
    signal.signal(signal.SIGTERM, existing)
    shutdown.watch_uvicorn()
    assert handler() == existing


@pytest.mark.parametrize("is_uvicorn", [True, False])
def test_the_default_is_replaced_only_in_a_process_of_uvicorn(handler, monkeypatch, is_uvicorn):
    if not is_uvicorn:
        monkeypatch.delitem(sys.modules, "uvicorn")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    shutdown.watch_uvicorn()
    assert (handler() == shutdown._finish_and_end) == is_uvicorn
    assert (handler() == signal.SIG_DFL) != is_uvicorn


def test_another_thread_than_the_main_one_takes_no_signal(handler):
    server = Server(Config("project.asgi:application"))
    signal.signal(signal.SIGTERM, server.handle_exit)
    thread = threading.Thread(target=shutdown.watch_uvicorn)
    thread.start()
    thread.join()
    assert handler() == server.handle_exit
