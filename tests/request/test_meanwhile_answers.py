"""Whether the answer is waited for at once or later: nothing that anybody is told is different."""

from __future__ import annotations

import io

import pytest
from django.test import Client

from apiguard.request import meanwhile
from tests.request.site import ALLOWED, FOREIGN, Call, Caller, cors, tier
from tests.request.two_steps import AT_ONCE, SEEN, WELL, Store, counted_by, during, site, told_of

# -- what happens at once, and what not ---------------------------------------------


CALLER = Caller(scopes=("orders:read",))
KEY = {"X-API-Key": CALLER.text}


def chunked(call):
    """A body of unknown length, from a server that ends it."""
    extra = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(b"{}"),
        "CONTENT_LENGTH": "",
        "HTTP_X_REQUEST_ID": "i",
    }
    client = Client(raise_request_exception=False)
    return client.generic("POST", call.path, content_type="application/json", **extra)


CASES = [
    pytest.param(Call.wsgi, SEEN, {}, WELL, id="nobody on a public route"),
    pytest.param(Call.wsgi, SEEN.but(method="HEAD"), {}, WELL, id="HEAD"),
    pytest.param(Call.wsgi, SEEN.but({"Accept-Encoding": "gzip"}), {}, WELL, id="gzip"),
    pytest.param(Call.wsgi, SEEN.but({"Accept-Language": "de"}), {}, WELL, id="German"),
    pytest.param(Call.wsgi, SEEN.but({"Accept": "text/html"}), {}, WELL, id="a person"),
    pytest.param(Call.wsgi, SEEN.but({"Origin": ALLOWED}), {}, WELL, id="another origin"),
    pytest.param(
        Call.wsgi, SEEN.but({"Cookie": "sessionid=x; csrftoken=bad"}), {}, WELL, id="bad cookies"
    ),
    pytest.param(
        Call.wsgi, Call("POST", "/api/echo", SEEN.headers, b"{}"), {}, WELL[:3], id="a body"
    ),
    pytest.param(
        Call.wsgi, Call("POST", "/api/protected", SEEN.headers, b"{}"), {}, WELL[:3], id="CSRF"
    ),
    pytest.param(Call.wsgi, SEEN.but(path="/api/fails"), {}, WELL[:3], id="a view that fails"),
    pytest.param(Call.wsgi, SEEN.but(path="/api/nope"), {}, WELL[:3], id="no view"),
    pytest.param(Call.wsgi, SEEN.but(path="/api/slashed"), {}, WELL[:3], id="a redirect"),
    pytest.param(Call.wsgi, SEEN.but(path="/api/streaming"), {}, WELL[:3], id="streaming"),
    pytest.param(
        Call.wsgi, SEEN.but(path="/api/drf/throttled"), {}, WELL[:3], id="DRF's own throttle"
    ),
    pytest.param(Call.wsgi, SEEN.but(path="/api/drf"), {}, WELL[:3], id="DRF, nobody"),
    pytest.param(
        Call.wsgi, SEEN.but(KEY, path="/api/drf/scoped"), {}, WELL[:3], id="DRF, a scope missing"
    ),
    pytest.param(
        Call.wsgi,
        SEEN.but(KEY, path="/api/drf/raises/unhandled"),
        {},
        WELL[:3],
        id="DRF, a view that fails",
    ),
    pytest.param(Call.wsgi, SEEN.but(KEY), {"access": "credentials"}, WELL, id="a key"),
    pytest.param(Call.wsgi, SEEN, {"access": "credentials"}, AT_ONCE[:2], id="no credential"),
    pytest.param(
        Call.wsgi,
        SEEN.but(KEY),
        {"access": "credentials", "required_scopes": ["orders:write"]},
        AT_ONCE[:2],
        id="a scope missing",
    ),
    pytest.param(
        Call.wsgi,
        SEEN.but(KEY),
        {"access": "credentials", "required_scopes": ["orders:read"]},
        WELL,
        id="all scopes",
    ),
    pytest.param(
        Call.wsgi, SEEN.but({"X-API-Key": "x"}), {}, [], id="a bad key"
    ),
    pytest.param(Call.wsgi, SEEN, {"mode": "observe"}, WELL, id="observed"),
    pytest.param(
        Call.wsgi,
        SEEN,
        {"mode": "observe", "access": "credentials"},
        AT_ONCE,
        id="observed, no credential",
    ),
    pytest.param(
        Call.wsgi, SEEN, {"access": "application"}, ["common", *AT_ONCE[:2], "view"], id="by view"
    ),
    pytest.param(Call.wsgi, SEEN.but(KEY), {"access": "application"}, WELL, id="by view, a key"),
    pytest.param(
        Call.wsgi,
        SEEN.but(path="/api/nope"),
        {"access": "application"},
        ["common", *AT_ONCE[:2]],
        id="by view, no view",
    ),
    pytest.param(Call.wsgi, SEEN.but(method="PUT"), {"methods": ["GET"]}, [], id="a method"),
    pytest.param(
        Call.wsgi,
        SEEN.but(
            {"Origin": ALLOWED, "Access-Control-Request-Method": "PUT"}, method="OPTIONS"
        ),
        {},
        [],
        id="a preflight",
    ),
    pytest.param(
        Call.wsgi,
        SEEN.but(
            {"Origin": FOREIGN, "Access-Control-Request-Method": "PUT"}, method="OPTIONS"
        ),
        {},
        [],
        id="a foreign preflight",
    ),
    pytest.param(chunked, SEEN.but(path="/api/echo"), {}, AT_ONCE[:3], id="chunked"),
    pytest.param(
        chunked, SEEN.but(path="/api/echo"), {"max_body_bytes": 1}, AT_ONCE[:2], id="too long"
    ),
    pytest.param(Call.asgi, SEEN, {}, AT_ONCE, id="ASGI"),
]  # fmt: skip


def asked(events, ask, call, fields, store, amount, monkeypatch):
    """Two answers, and what happened; the numbers and the clock are the same every time."""
    monkeypatch.setattr("rest_framework.throttling.AnonRateThrottle.allow_request", lambda *_: True)
    policy = cors(ALLOWED)
    limits = tier("standard", amount, on_store_failure="closed")
    CALLER.client.tier = limits[0]
    fields = {"cors_policy": policy[0], **fields}
    rows = [*policy, *CALLER.rows, *limits]
    with (
        counted_by(monkeypatch, store),
        site(amount, rows=rows, on_store_failure="closed", **fields),
    ):
        return [during(events, lambda: ask(call)) for _ in range(2)]


@pytest.mark.parametrize("fails_when", ["", "asked", "answered"])
@pytest.mark.parametrize(("ask", "call", "fields", "steps"), CASES)
def test_the_answers_are_the_same_as_if_it_had_waited_at_once(
    fails_when, ask, call, fields, steps, events, monkeypatch
):
    args = (events, ask, call, fields)
    together = asked(*args, Store(fails_when), 1, monkeypatch)
    if not fails_when:
        assert together[0][1] == steps
    monkeypatch.setattr(meanwhile, "is_harmless", lambda _: False)
    at_once = asked(*args, Store(fails_when), 1, monkeypatch)
    assert [told_of(answer) for answer, _ in together] == [told_of(answer) for answer, _ in at_once]
    for (_, ours), (_, theirs) in zip(together, at_once, strict=True):
        assert ours.count("view") == theirs.count("view")
        assert ours.count("asked") == theirs.count("asked") <= 1
