"""While a route observes, what enforcing would do to response headers is noted, with an example."""

from __future__ import annotations

import pytest

from apiguard.bounded_cache import BoundedCache
from apiguard.models import HeaderPolicy, ObservedHeader, ResponseHeader, Route
from apiguard.request import header_changes
from apiguard.telemetry.buffer import buffer
from tests.request.site import ALLOWED, DOORS, Call, Caller, cors, guarded, headers, route, tier

RULES = headers(
    ("X-Frame-Options", "DENY", "force", "always"),
    ("X-Content-Type-Options", "nosniff", "default", "always"),
    ("Content-Language", "", "remove", "always"),
    ("Strict-Transport-Security", "max-age=60", "force", "https"),
)
CALLS = [
    pytest.param(Call(), id="a plain view"),
    pytest.param(Call(secure=True), id="over https"),
    pytest.param(Call(headers={"Origin": ALLOWED}), id="from a browser"),
    pytest.param(Call(path="/api/nowhere"), id="an error page of Django"),
    pytest.param(
        Call(path="/api/nowhere", headers={"Accept": "text/html"}), id="an error page for a person"
    ),
    pytest.param(Call("OPTIONS"), id="a method of the view's own"),
]


@pytest.fixture(autouse=True)
def _nothing_compared(monkeypatch):
    monkeypatch.setattr(header_changes, "_compared", BoundedCache(100))


def rows(mode):
    limits = tier("anonymous", 100)
    browsers = cors(ALLOWED)
    row = route(
        mode=mode, header_policy=RULES[0], cors_policy=browsers[0], anonymous_tier=limits[0]
    )
    return [*limits, *browsers, *RULES, row]


def differences(before, after):
    """What is different in a response's headers, as it would be noted."""
    names = {name.lower(): name for name in (*before.headers, *after.headers)}
    found = set()
    for key, name in names.items():
        was, becomes = before.headers.get(name), after.headers.get(name)
        if key in ("x-request-id", "content-length") or was == becomes:
            continue
        change = "added" if was is None else "removed" if becomes is None else "changed"
        found.add((key, change))
    return found


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_noted_is_what_enforcing_does(door, call):
    buffer._reset()
    with guarded(*rows("observe")):
        observed = door(call)
        noted = {(name.lower(), change) for _, name, change in buffer._pending.headers}
    with guarded(*rows("enforce")):
        enforced = door(call)
    assert noted - {("content-length", "changed")} == differences(observed, enforced)
    assert noted


@pytest.mark.parametrize("mode", ["enforce", "off"])
def test_a_route_that_enforces_or_is_off_notes_nothing(mode):
    buffer._reset()
    with guarded(*rows(mode)):
        Call().wsgi()
    assert buffer._pending.headers == {}


def test_a_refused_request_has_no_headers_to_compare():
    buffer._reset()
    with guarded(*RULES, route(mode="observe", access="credentials", header_policy=RULES[0])):
        Call().wsgi()
    assert buffer._pending.headers == {}


def test_a_view_is_compared_once_for_each_kind_of_response(monkeypatch):
    compared = []
    find = header_changes.find_changes
    monkeypatch.setattr(
        header_changes, "find_changes", lambda *args: compared.append(1) or find(*args)
    )
    with guarded(*rows("observe")):
        for _ in range(3):
            Call().wsgi()
            Call(path="/api/nowhere").wsgi()
    assert len(compared) == 2


def test_the_view_is_answered_as_without_a_route():
    with guarded():
        bare = Call().wsgi()
    with guarded(*rows("observe")):
        observed = Call().wsgi()
    assert differences(bare, observed) == set()
    assert observed.content == bare.content


@pytest.mark.django_db
def test_a_row_names_the_header_its_value_and_one_request_without_its_query():
    policy = HeaderPolicy.objects.create(name="p")
    ResponseHeader.objects.create(policy=policy, name="X-Frame-Options", value="DENY", mode="force")
    of = Route.objects.create(
        name="api", path_prefix="/api/", access="public", mode="observe", header_policy=policy
    )
    caller = Caller()
    for row in caller.rows:
        row.save()
    with guarded(*caller.rows, policy, *policy.headers.all(), of):
        Call(path="/api/plain?secret=1", headers={"X-API-Key": caller.text}).wsgi()
    buffer.flush()
    row = ObservedHeader.objects.get(name="X-Frame-Options")
    assert (row.change, row.value, row.example) == ("added", "DENY", "GET /api/plain")
    assert list(ObservedHeader.objects.of_route(of.pk, row.revision)) != []
    assert list(ObservedHeader.objects.of_route(of.pk, row.revision + 1)) == []
