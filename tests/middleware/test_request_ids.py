"""One id per request: on the response, in every log line, in every refusal."""

from __future__ import annotations

import logging
import re

import pytest
from django.test import override_settings

from apiguard.request.request_id import NOBODY, RequestIdFilter, current_ids
from tests.request.site import DOORS, Call, guarded, route

MADE = re.compile(r"[0-9a-f]{32}\Z")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/open/plain", "/api/nowhere", "/api/fails"])
@pytest.mark.parametrize("inbound", ["a", "0-9_A.z", "x" * 128])
def test_a_well_formed_id_is_kept(door, path, inbound):
    with guarded(route()):
        response = DOORS[door](Call(path=path, headers={"X-Request-ID": inbound}))
    assert response.headers["X-Request-ID"] == inbound


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "inbound", [None, "", " ", "a b", "a,b", "ä", "x" * 129, "a\n", "<script>", "a/b", "a:b"]
)
def test_any_other_id_is_replaced(door, inbound):
    headers = {} if inbound is None else {"X-Request-ID": inbound}
    with guarded(route()):
        ids = {DOORS[door](Call(headers=headers)).headers["X-Request-ID"] for _ in range(2)}
    assert len(ids) == 2
    assert all(MADE.match(one) for one in ids)


@pytest.mark.parametrize(
    ("trust", "proxies", "kept"),
    [
        ("always", [], True),
        ("proxies", [], False),
        ("proxies", ["10.0.0.0/8"], False),
        ("proxies", ["127.0.0.0/8"], True),
        ("never", ["127.0.0.0/8"], False),
    ],
)
def test_whose_id_is_kept(trust, proxies, kept):
    with guarded(route(), TRUST_REQUEST_ID=trust, TRUSTED_PROXIES=proxies):
        response = Call(headers={"X-Request-ID": "theirs"}).wsgi()
    assert (response.headers["X-Request-ID"] == "theirs") == kept


def test_another_header_may_carry_the_id():
    with guarded(route(), REQUEST_ID_HEADER="X-Correlation-ID"):
        response = Call(headers={"X-Correlation-ID": "theirs", "X-Request-ID": "no"}).wsgi()
    assert response.headers["X-Correlation-ID"] == "theirs"
    assert "X-Request-ID" not in response.headers


@pytest.mark.parametrize("door", DOORS)
def test_the_id_of_a_refusal_is_the_one_in_its_body_and_in_the_log(door, caplog):
    with guarded(route(access="credentials")), caplog.at_level(logging.INFO, "apiguard"):
        response = DOORS[door](Call())
    this_id = response.headers["X-Request-ID"]
    assert response.json()["requestId"] == this_id
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("apiguard")]
    assert any(this_id in line for line in lines)


class Logs:
    """A middleware that logs a line for every request."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        logging.getLogger("tests.view").warning("seen")
        return self.get_response(request)


class Keeps(logging.Handler):
    """Keeps what the filter added to every record."""

    def __init__(self):
        super().__init__()
        self.addFilter(RequestIdFilter())
        self.ids = []
        self.traces = []

    def emit(self, record):
        self.ids.append(record.request_id)
        self.traces.append((record.trace_id, record.span_id))


@pytest.fixture
def kept():
    handler, logger = Keeps(), logging.getLogger("tests.view")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize("door", DOORS)
def test_every_log_line_of_a_request_has_its_id_and_no_other_has_one(door, kept):
    chain = ["apiguard.middleware.ApiGuardMiddleware", "tests.middleware.test_request_ids.Logs"]
    with guarded(route(access="credentials")), override_settings(MIDDLEWARE=chain):
        for this_id in ("first", "second"):
            DOORS[door](Call(path="/open/get-only", headers={"X-Request-ID": this_id}))
            logging.getLogger("tests.view").warning("outside")
    assert kept.ids == ["first", "", "second", ""]
    assert current_ids.get() is NOBODY


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/api/fails", "/api/suspicious"])
def test_no_id_leaks_out_of_a_request(door, path):
    with guarded(route()):
        DOORS[door](Call(path=path, headers={"X-Request-ID": "theirs"}))
    assert current_ids.get() is NOBODY


CHAIN = ["apiguard.middleware.ApiGuardMiddleware", "tests.middleware.test_request_ids.Logs"]
TRACE = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
TRACEPARENT = f"00-{TRACE[0]}-{TRACE[1]}-01"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        pytest.param({}, ("", ""), id="none"),
        pytest.param({"traceparent": TRACEPARENT}, TRACE, id="one"),
        pytest.param({"traceparent": TRACEPARENT.upper()}, ("", ""), id="a malformed one"),
    ],
)
def test_the_caller_s_trace_stands_beside_the_id(door, kept, sent, trace):
    with guarded(route()), override_settings(MIDDLEWARE=CHAIN):
        DOORS[door](Call(path="/api/get-only", headers={"X-Request-ID": "theirs", **sent}))
        logging.getLogger("tests.view").warning("outside")
    assert kept.ids == ["theirs", ""]
    assert kept.traces == [trace, ("", "")]


@pytest.fixture
def kept_of_django():
    handler, logger = Keeps(), logging.getLogger("django.request")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize("door", DOORS)
def test_what_django_logs_of_a_refusal_has_its_ids_too(door, kept_of_django):
    with guarded(route(access="credentials")):
        DOORS[door](Call(headers={"X-Request-ID": "theirs", "traceparent": TRACEPARENT}))
    assert kept_of_django.ids == ["theirs"]
    assert kept_of_django.traces == [TRACE]
