"""Requests to the site of one case inside this process, timed one by one."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import apiguard
from benchmarks.site.cases import ORIGIN

PACKAGE = f"{Path(apiguard.__file__).parent}/"
App = Callable[[dict[str, Any], Callable[..., Any]], Any]


def meta_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Request headers as WSGI names them."""
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


def environ(path: str, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A GET of a browser's script, as gunicorn would hand it over; ``more`` replaces."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "api.example.com",
        "HTTP_ORIGIN": ORIGIN,
        "HTTP_ACCEPT": "application/json",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        **meta_of(headers),
        **more,
    }


def timed(app: App, asked: Mapping[str, Any], expected: int = 200) -> int:
    """Nanoseconds from the environ to the closed response.

    Raises:
        SystemExit: the answer has another status; then nothing here means anything.
    """
    said: list[str] = []
    fresh = {**asked, "wsgi.input": io.BytesIO()}
    begin = time.perf_counter_ns()
    response = app(fresh, lambda status, headers, *_: said.append(status))
    body = b"".join(response)
    response.close()
    took = time.perf_counter_ns() - begin
    if not said[0].startswith(str(expected)):
        raise SystemExit(f"{asked['PATH_INFO']}: {said[0]}, expected {expected}: {body[:500]!r}")
    return took


def called_files(app: App, asked: Mapping[str, Any]) -> list[str]:
    """The file, below apiguard, of every call of one request, in the order of the calls."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE):
            files.append(file.removeprefix(PACKAGE))

    sys.setprofile(note)
    try:
        timed(app, asked)
    finally:
        sys.setprofile(None)
    return files
