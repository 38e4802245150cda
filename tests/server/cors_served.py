"""The site of the table of CORS under real servers, and pages of other origins beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from django.core import serializers

from tests.demo_site import DemoSite, copy_of
from tests.request.cors_policies import rows
from tests.servers import ServerError, gunicorn, manage, uvicorn

# One line for each request, with its method, path and query.
ACCESS_LINE = "asked %(m)s %(U)s?%(q)s"


def cors_demo(template: tuple[DemoSite, Path], folder: Path) -> DemoSite:
    """The demonstration with the policies of the table beside its own.

    Raises:
        ServerError: the rows could not be loaded.
    """
    demo = copy_of(template, folder)
    fixture = folder / "cors.json"
    fixture.write_text(serializers.serialize("json", rows()))
    done = manage("loaddata", str(fixture), env=demo.env)
    if done.returncode:
        raise ServerError(done.stderr)
    return demo


def serving_cors(kind: str, demo: DemoSite) -> Any:
    """A server of this kind, as a context manager that gives a ``Server``."""
    if kind == "uvicorn":
        options = ("--no-proxy-headers", "--http", "h11")
        return uvicorn(demo.env, application="tests.request.cors_apps:asgi", options=options)
    options = ("--access-logfile", "-", "--access-logformat", ACCESS_LINE)
    application = "tests.request.cors_apps:wsgi"
    return gunicorn(demo.env, workers=1, threads=4, application=application, options=options)


class _Page(BaseHTTPRequestHandler):
    """An empty page, whatever is asked for."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>page</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def pages() -> Iterator[int]:
    """Empty pages on a port of loopback; every name of loopback is an origin of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
