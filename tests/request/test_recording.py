"""A refused request becomes a row, whichever entrance it came through, and holds no secret."""

from __future__ import annotations

import json

import pytest
from django.core import serializers

from apiguard import signals
from apiguard.models import HourlyCount, Refusal, Usage
from apiguard.request.facts import Facts
from apiguard.rules import keys
from apiguard.telemetry.background_signals import background_signals
from apiguard.telemetry.buffer import buffer
from apiguard.testing import explain
from tests.request.site import (
    ALLOWED,
    DOORS,
    FOREIGN,
    Call,
    Caller,
    cors,
    guarded,
    issuer,
    route,
    tier,
    token,
)
from tests.stored_text import leaks_of

pytestmark = pytest.mark.django_db
SENT = keys.generate("ag", "live").text
EVERY_DOOR = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
MODES = pytest.mark.parametrize("mode", ["enforce", "observe"])


@pytest.fixture(autouse=True)
def _nothing_buffered(_fresh_process):
    """The buffer of this process starts empty."""


def recorded():
    """The rows that a flush writes."""
    buffer.flush()
    return list(Refusal.objects.order_by("pk"))


def scoped(**fields):
    limits = tier("standard", 2)
    caller = Caller(scopes=("orders:read",), tier=limits[0])
    row = route(access="credentials", required_scopes=["orders:write"], **fields)
    return row, caller, [row, *limits, *caller.rows]


@EVERY_DOOR
@MODES
def test_a_row_says_who_when_where_and_why(door, mode):
    row, caller, rows = scoped(mode=mode)
    call = Call(
        path="/api/plain",
        headers={"X-API-Key": caller.text, "X-Request-ID": "quoted", "Accept": "text/html"},
    )
    with guarded(*rows) as snapshot:
        door(call)
    (refusal,) = recorded()
    assert (refusal.request_id, refusal.method, refusal.path) == ("quoted", "GET", "/api/plain")
    assert (refusal.status, refusal.enforced) == (403, mode == "enforce")
    assert refusal.outcome == "scope_missing"
    assert refusal.reason == "needs orders:write; the key has orders:read"
    assert (refusal.row_model, refusal.row_pk) == ("route", str(row.pk))
    assert (refusal.route_pk, refusal.route_name) == (row.pk, "/api/")
    assert (refusal.client_pk, refusal.client_slug) == (caller.client.pk, "acme")
    assert (refusal.key_id, refusal.principal) == (caller.row.key_id, f"client:{caller.client.pk}")
    assert refusal.is_identified
    assert refusal.address == "127.0.0.1"
    assert refusal.revision == snapshot.revision
    assert refusal.accept == "text/html"
    assert [(one["name"], one["used"]) for one in refusal.limits] == [("standard-1", 1)]


@EVERY_DOOR
def test_a_limit_says_both_sides_and_when_more_fits(door):
    limits = tier("anonymous", 1)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        for _ in range(2):
            door(Call())
    (refusal,) = recorded()
    assert refusal.reason == "used 1 of 1 per hour; 1 more in 3600 s"
    assert (refusal.row_model, refusal.row_pk) == ("limit", str(limits[1].pk))
    assert (refusal.principal, refusal.is_identified) == ("ip:127.0.0.1", False)


@EVERY_DOOR
@MODES
def test_a_limit_that_is_reached_is_announced_once(door, mode):
    limits, reached = tier("free", 1), []

    def receive(sender, signal, **arguments):
        reached.append(arguments)

    caller = Caller(tier=limits[0])
    signals.limit_reached.connect(receive)
    try:
        with guarded(route(access="credentials", mode=mode), *limits, *caller.rows):
            for _ in range(3):
                door(Call(headers={"X-API-Key": caller.text}))
            assert reached == []
            background_signals.flush()
    finally:
        signals.limit_reached.disconnect(receive)
        background_signals.reset()
    (arguments,) = reached
    assert arguments.pop("at") is not None
    assert arguments == {
        "principal": f"client:{caller.client.pk}",
        "client": "acme",
        "tier": "free",
        "limit": "free-1",
        "enforced": mode == "enforce",
    }


def test_a_foreign_origin_is_named_with_the_policy_that_lacks_it():
    policy = cors(ALLOWED, refuse_foreign_origins=True)
    with guarded(route(cors_policy=policy[0]), *policy):
        Call(headers={"Origin": FOREIGN}).wsgi()
    (refusal,) = recorded()
    assert refusal.reason == f"origin {FOREIGN} is not in browsers"
    assert (refusal.origin, refusal.row_model) == (FOREIGN, "corspolicy")


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/api/answers/401", 401, "apiguard let it through; the view answered 401"),
        ("/api/answers/403", 403, "apiguard let it through; the view answered 403"),
        ("/api/answers/429", 429, "apiguard let it through; the view answered 429"),
    ],
)
@EVERY_DOOR
def test_what_the_view_refused_by_itself_is_kept_and_named_as_its_own(door, path, status, reason):
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows):
        assert door(Call(path=path, headers={"X-API-Key": caller.text})).status_code == status
    (refusal,) = recorded()
    assert (refusal.outcome, refusal.status, refusal.reason) == ("view_answered", status, reason)
    assert (refusal.client_slug, refusal.row_model) == ("acme", "")


def test_djangos_csrf_check_is_named_as_what_answered():
    with guarded(route()):
        assert Call(method="POST", path="/api/protected", body=b"{}").wsgi().status_code == 403
    (refusal,) = recorded()
    assert refusal.reason == "apiguard let it through; Django's CSRF check answered 403"


@pytest.mark.parametrize("path", ["/api/answers/404", "/api/plain"])
def test_nothing_is_kept_of_requests_that_nobody_refused(path):
    with guarded(route()):
        Call(path=path).wsgi()
    assert recorded() == []


@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize(
    ("path", "sent", "outcome"),
    [
        pytest.param("/api/drf", {"X-API-Key": "x"}, "key_malformed", id="a bad key"),
        pytest.param("/api/drf", {}, "no_credential", id="none"),
        pytest.param("/api/drf/scoped", {"X-API-Key": "good"}, "scope_missing", id="HasScope"),
    ],
)
def test_what_drf_refuses_is_kept_once(middleware, path, sent, outcome):
    caller = Caller(scopes=())
    sent = {name: caller.text if value == "good" else value for name, value in sent.items()}
    with guarded(route(access="credentials"), *caller.rows, middleware=middleware):
        Call(path=path, headers=sent).wsgi()
    (refusal,) = recorded()
    assert (refusal.outcome, refusal.path, refusal.enforced) == (outcome, path, True)
    if outcome == "scope_missing":
        assert refusal.reason.endswith("; the key has no scope")
        assert refusal.reason.startswith("the view also needs ")


def test_a_refusal_of_drf_where_no_route_is_has_a_row_without_a_route():
    with guarded(route("/elsewhere/"), middleware=False):
        Call(path="/api/drf", headers={"X-API-Key": "ag_x"}).wsgi()
    (refusal,) = recorded()
    assert (refusal.route_pk, refusal.route_name, refusal.outcome) == (None, "", "key_malformed")


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"key_fields": {"allowed_networks": ["192.0.2.0/24"]}}, "key_wrong_network"),
        ({"client_fields": {"enabled": False}}, "client_disabled"),
    ],
)
def test_a_refused_key_with_the_right_secret_names_its_client(fields, outcome):
    caller = Caller(**fields)
    with guarded(route(access="credentials"), *caller.rows):
        Call(headers={"X-API-Key": caller.text}).wsgi()
    (refusal,) = recorded()
    assert (refusal.outcome, refusal.client_slug, refusal.is_identified) == (outcome, "acme", True)


def test_a_wrong_secret_does_not_make_its_sender_a_known_caller():
    caller = Caller()
    caller.row.digest = "0" * 64
    with guarded(route(access="credentials"), *caller.rows):
        Call(headers={"X-API-Key": caller.text}).wsgi()
    (refusal,) = recorded()
    assert (refusal.outcome, refusal.is_identified) == ("key_wrong_secret", False)
    assert refusal.key_id == caller.row.key_id


def test_by_network_no_column_holds_the_address():
    limits = tier("anonymous", 1)
    caller = Caller(key_fields={"allowed_networks": ["192.0.2.0/24"]})
    with guarded(
        route(anonymous_tier=limits[0]), *limits, *caller.rows, REFUSALS_ADDRESS="network"
    ):
        for _ in range(2):
            Call().wsgi()
        Call(headers={"X-API-Key": caller.text}).wsgi()
    rows = recorded()
    assert {row.address for row in rows} == {"127.0.0.0/24"}
    assert rows[0].principal == "ip:127.0.0.0/24"
    assert "the address is 127.0.0.0/24" in rows[1].reason
    assert "127.0.0.1" not in serializers.serialize("json", rows)


@pytest.mark.parametrize("member", ["REFUSALS_KEEP_DAYS", "REFUSALS_KEEP_ROWS"])
def test_with_zero_nothing_is_kept_and_the_count_goes_on(member):
    with guarded(route(access="credentials"), **{member: 0}):
        Call().wsgi()
    assert recorded() == []
    assert HourlyCount.objects.get().count == 1


def test_a_flood_is_counted_and_the_client_beside_it_is_kept():
    caller = Caller(scopes=())
    row = route(access="credentials", required_scopes=["orders:read"])
    with guarded(row, *caller.rows):
        for _ in range(60):
            Call().wsgi()
        Call(headers={"X-API-Key": caller.text, "X-Request-ID": "quoted"}).wsgi()
    rows = recorded()
    assert "quoted" in {each.request_id for each in rows}
    counts = HourlyCount.objects.filter(outcome="no_credential")
    assert sum(each.count for each in counts) == 60
    assert len(rows) - 1 + sum(each.unkept for each in counts) == 60


def test_what_cannot_be_described_changes_no_answer_and_is_counted(monkeypatch, caplog):
    monkeypatch.setattr("apiguard.request.recording.find_reason", lambda *_: 1 / 0)
    with guarded(route(access="credentials")):
        assert Call().wsgi().status_code == 401
    assert recorded() == []
    assert HourlyCount.objects.get().count == 1
    assert "cannot be described" in caplog.text


HOSTILE = [
    "/api/plain?secret=S3CRET",
    "/api/plain%3Fsecret=S3CRET",
    "/api/%00%0a%ff%f0",
    "/api/" + "x" * 5000,
]


@pytest.mark.parametrize("path", HOSTILE)
@MODES
def test_whatever_the_path_is_it_can_be_written_and_holds_no_query(path, mode):
    with guarded(route(access="credentials", mode=mode)):
        Call(path=path).wsgi()
    (refusal,) = recorded()
    assert "S3CRET" not in json.dumps(serializers.serialize("python", [refusal]), default=str)
    assert refusal.path.isprintable()
    assert len(refusal.path) <= Refusal.MAX_TEXT


def test_no_column_holds_a_secret_a_token_a_body_or_a_query():
    caller, sent = Caller(scopes=()), token(sub="alice", scope="")
    secrets = [caller.text, sent, "B0DY", "QU3RY", "C00KIE", "PASSW0RD"]
    trusted = issuer()
    row = route(access="credentials", required_scopes=["orders:read"], accepts=["text/plain"])
    markers = [
        {"X-API-Key": caller.text},
        {"Authorization": f"Bearer {caller.text}"},
        {"Authorization": f"Bearer {sent}"},
        {"Authorization": f"Bearer {sent[:-4]}AAAA"},
        {"Authorization": "Basic PASSW0RD"},
        {"X-API-Key": caller.text, "Authorization": f"Bearer {sent}"},
        {"X-API-Key": f"{caller.text} PASSW0RD"},
        {"X-Request-ID": caller.text},
        {"Accept": f"text/{sent}", "Cookie": "sessionid=C00KIE"},
        {"Origin": f"https://x.example/?{caller.text}"},
        {"Content-Type": f"x/{caller.text}"},
    ]
    with guarded(row, trusted, *caller.rows):
        for headers in markers:
            for path in ("/api/plain", f"/api/{caller.text}", f"/api/{sent}"):
                Call(
                    method="POST",
                    path=f"{path}?token=QU3RY",
                    headers=headers,
                    body=b"B0DY",
                    content_type="text/plain",
                ).wsgi()
            buffer.flush()
            buffer.refusals._sample._written = 0
    stored = serializers.serialize("json", Refusal.objects.all())
    assert Refusal.objects.count() == 3 * len(markers)
    parts = keys.parse(caller.text, "ag")
    for secret in [*secrets, caller.text[-30:], sent.rsplit(".", 1)[1]]:
        assert secret not in stored
    assert parts.key_id in stored


def test_what_a_row_is_made_of_has_no_query_no_cookie_and_no_body():
    assert not {"query", "query_string", "cookie", "cookies", "body"} & set(Facts._fields)
    texts = [field.name for field in Usage._meta.fields if field.get_internal_type() == "CharField"]
    assert texts == ["outcome"]


@pytest.mark.parametrize(
    ("fields", "leak"),
    [
        ({"reason": f"sent {SENT}"}, "reason holds a part of a credential"),
        ({"path": "/a?b=c"}, "path holds a query: '/a?b=c'"),
        ({"origin": "a\nb"}, "origin is not printable: 'a\\nb'"),
        ({"path": "/a?…"}, None),
    ],
)
def test_the_check_of_the_whole_run_finds_a_leak(fields, leak):
    with guarded(route(access="credentials")):
        Call(headers={"X-API-Key": SENT}).wsgi()
    (row,) = buffer.refusals._sample.take(0).kept
    facts = Facts("GET", api_key=SENT)
    assert list(leaks_of(facts, row)) == []
    assert list(leaks_of(facts, row._replace(**fields))) == ([] if leak is None else [leak])


def test_explain_by_its_request_is_what_the_row_says():
    _, caller, rows = scoped()
    with guarded(*rows):
        Call(headers={"X-API-Key": caller.text}).wsgi()
        answer = explain("GET", "/api/plain", headers={"X-API-Key": caller.text})
    (refusal,) = recorded()
    assert answer.deciding.reason == refusal.reason
    assert (answer.deciding.row.model, str(answer.deciding.row.pk)) == (
        refusal.row_model,
        refusal.row_pk,
    )


def test_nobody_waits_for_a_table_that_is_away(monkeypatch, caplog):
    def away(*args, **kwargs):
        raise OSError("away")

    monkeypatch.setattr("apiguard.models.refusals.RefusalQuerySet.insert", away)
    with guarded(route(access="credentials")):
        Call().wsgi()
    assert recorded() == []
    assert "1 rows of refused requests are lost: away" in caplog.text
    assert HourlyCount.objects.get().unkept == 1
