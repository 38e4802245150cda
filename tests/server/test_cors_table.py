"""The shared table of CORS, byte by byte, against gunicorn and uvicorn."""

from __future__ import annotations

import socket
from http.client import HTTPResponse

import pytest

from tests.request.cors_cases import ON_THE_WIRE
from tests.request.cors_rows import told
from tests.server.calls import request_head
from tests.server.cors_served import cors_demo, serving_cors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def served(request, demo_template, tmp_path_factory):
    demo = cors_demo(demo_template, tmp_path_factory.mktemp("cors"))
    with serving_cors(request.param, demo) as server:
        yield request.param, server


def exchange(port, head, method):
    """Status and every header line of the answer, in its order."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        response = HTTPResponse(connection, method=method)
        response.begin()
        response.read()
        return response.status, response.getheaders()


@pytest.mark.parametrize("case", ON_THE_WIRE, ids=lambda case: case.id)
def test_a_socket(case, served, cors_table):
    kind, server = served
    cors_table(kind)
    case = case.with_origins(server.base_url)
    headers = [(name, value.encode("latin-1")) for name, value in case.headers]
    head = request_head(case.method, case.path, [("Host", f"127.0.0.1:{server.port}"), *headers])
    status, answered = exchange(server.port, head, case.method)
    assert (status, told(answered)) == (case.status, case.expected)
