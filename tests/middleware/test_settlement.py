"""What a request reserves, what its view settles, and what is in flight, through both entrances."""

from __future__ import annotations

import asyncio
import gc
from contextlib import contextmanager

import pytest
from django.test import AsyncClient, Client, override_settings
from django.test.client import RequestFactory

from apiguard import conf
from apiguard.models import Limit, Tier
from apiguard.request import limit_use
from apiguard.request.async_driver import limit_threads
from apiguard.signals import limit_reached
from apiguard.telemetry.background_signals import background_signals
from apiguard.telemetry.usage import usage
from apiguard.testing import explain
from tests.middleware.settling_views import look_at
from tests.request.site import DOORS, Call, Caller, close, guarded, no_connection_looked_at, route

WORKING = ["/api/work", "/api/awork", "/api/drf"]
STREAMS = ["/api/stream", "/api/astream"]


@pytest.fixture(params=list(DOORS))
def door(request):
    return DOORS[request.param]


def limits(**fields):
    """A tier with tokens, requests in flight, and requests."""
    row = Tier(slug="standard", name="standard")
    return [
        row,
        Limit(tier=row, name="tokens", amount=1000, period=60, unit="tokens", **fields),
        Limit(tier=row, name="at-once", kind="concurrent", amount=2, period=600, **fields),
        Limit(tier=row, name="requests", amount=100, period=60, **fields),
    ]


@contextmanager
def site(*rows, reserve=100, middleware=True, **fields):
    tier, *more = rows or limits()
    where = route(anonymous_tier=tier, reserve={"tokens": reserve} if reserve else {}, **fields)
    with (
        guarded(tier, *more, where, middleware=middleware) as snapshot,
        override_settings(ROOT_URLCONF="tests.middleware.settling_views"),
    ):
        yield snapshot


def ledger(snapshot):
    """What is counted of each limit now, by its name."""
    limits = snapshot.tiers_by_slug["standard"].all_limits
    used = limit_use.read_use(conf.current(), "ip:127.0.0.1", limits)
    return {one.limit.name: one.used for one in used.values()}


def test_a_request_reserves_what_its_route_says_and_is_in_flight_while_its_view_runs(
    door, monkeypatch
):
    with site() as snapshot:
        seen = []
        monkeypatch.setitem(look_at, 0, lambda request: seen.append(ledger(snapshot)))
        assert door(Call(path="/api/look")).status_code == 200
        assert seen == [{"tokens": 100, "at-once": 1, "requests": 1}]
        # Nothing was settled, so that what was reserved stays.
        assert ledger(snapshot) == {"tokens": 100, "at-once": 0, "requests": 1}


def test_what_a_view_settles_stands_in_usage_once(door, monkeypatch):
    settled = []
    monkeypatch.setattr(usage, "record_units", lambda *entry: settled.append(entry))
    with site() as snapshot:
        where = snapshot.routes.find("/api/work").pk
        # The second reserves and settles nothing.
        for path in ("work?used=70", "look", "work?used=0", "work?used=500"):
            close(door(Call(path=f"/api/{path}")))
    assert settled == [(where, 0, 0, "tokens", 70), (where, 0, 0, "tokens", 500)]


def test_a_number_that_is_corrected_upwards_later_is_added_in_part(monkeypatch):
    settled = []
    monkeypatch.setattr(usage, "record_units", lambda *entry: settled.append(entry[3:]))
    with site():
        seen = []
        monkeypatch.setitem(look_at, 0, lambda request: seen.append(request.apiguard))
        Call(path="/api/look").wsgi()
        for used in (50, 80, 80, 20):
            seen[0].settle(tokens=used)
            seen[0].holds.send()
    assert sum(amount for _unit, amount in settled) == 80


@pytest.mark.parametrize("used", [0, 7, 100, 250, 5000])
@pytest.mark.parametrize("path", WORKING)
def test_the_ledger_holds_what_was_settled(door, path, used):
    with site() as snapshot:
        assert door(Call(path=f"{path}?used={used}")).status_code == 200
        assert ledger(snapshot) == {"tokens": used, "at-once": 0, "requests": 1}


def test_the_next_request_pays_for_an_overrun_and_nobody_gets_an_error(door):
    with site() as snapshot:
        assert door(Call(path="/api/work?used=5000")).status_code == 200
        refused = door(Call(path="/api/work"))
        assert refused.status_code == 429
        assert refused.json()["violated-policies"] == ["tokens"]
        assert ledger(snapshot)["tokens"] == 5000


def test_an_overrun_is_a_signal_and_stands_in_usage(door, monkeypatch):
    told, overruns = [], []
    monkeypatch.setattr(usage, "record_overrun", lambda *entry: overruns.append(entry))
    background_signals.reset()

    def receive(sender, signal, **named):
        told.append(named)

    def after(used):
        assert door(Call(path=f"/api/work?used={used}")).status_code == 200
        background_signals.flush()
        return len(told), len(overruns)

    limit_reached.connect(receive)
    try:
        with site() as snapshot:
            assert after(100) == (0, 0)
            # More than was reserved, but the limit is not used up.
            assert after(101) == (0, 1)
            assert after(999) == (1, 2)
            route = snapshot.routes.find("/api/work")
    finally:
        limit_reached.disconnect(receive)
    (one,) = told
    assert (one["principal"], one["client"]) == ("ip:127.0.0.1", "")
    assert (one["tier"], one["limit"], one["enforced"]) == ("standard", "tokens", True)
    assert overruns == [(route.pk, 0, 0)] * 2


@pytest.mark.parametrize("path", WORKING)
def test_a_view_may_reserve_more_than_its_route_does(door, path):
    with site() as snapshot:
        answer = door(Call(path=f"{path}?reserve=700&used=650"))
        assert (answer.status_code, ledger(snapshot)["tokens"]) == (200, 650)
        # The headers tell what was reserved, the route's part included.
        assert '"tokens";r=300' in answer["RateLimit"]


@pytest.mark.parametrize("path", WORKING)
def test_what_does_not_fit_is_a_429_if_nobody_catches_it(door, path):
    with site() as snapshot:
        refused = door(Call(path=f"{path}?reserve=1001"))
        assert refused.status_code == 429
        assert refused["Content-Type"] == "application/problem+json"
        assert refused.json()["violated-policies"] == ["tokens"]
        assert int(refused["Retry-After"]) == 60
        assert refused["Cache-Control"] == "no-store"
        assert ledger(snapshot)["at-once"] == 0


def test_a_view_may_catch_the_refusal(door):
    with site() as snapshot:
        assert door(Call(path="/api/smaller")).status_code == 200
        assert ledger(snapshot)["tokens"] == 1


def test_a_route_that_observes_reserves_and_refuses_nothing(door):
    with site(mode="observe") as snapshot:
        assert door(Call(path="/api/work?reserve=5000&used=3000")).status_code == 200
        assert door(Call(path="/api/work")).status_code == 200
        assert ledger(snapshot)["tokens"] == 3000


def test_what_a_failed_view_had_settled_is_settled():
    with site() as snapshot:
        assert Call(path="/api/work?used=7&fail=1").wsgi().status_code == 500
        assert ledger(snapshot) == {"tokens": 7, "at-once": 0, "requests": 1}


def test_a_request_that_reaches_no_view_gives_everything_back(door):
    caller = Caller(scopes=(), tier=(rows := limits())[0])
    fields = {"access": "credentials", "required_scopes": ["orders:read"]}
    with site(*rows, *caller.rows, **fields) as snapshot:
        call = Call(path="/api/work", headers={"X-API-Key": caller.text})
        assert door(call).status_code == 403
        all_limits = snapshot.tiers_by_slug["standard"].all_limits
        principal = limit_use.principal_of(caller.client.pk)
        used = limit_use.read_use(conf.current(), principal, all_limits)
        assert {one.limit.name: one.used for one in used.values()} == {
            "tokens": 0,
            "at-once": 0,
            "requests": 1,
        }


def test_a_limit_of_a_unit_that_a_route_does_not_reserve_does_not_hold_there(door):
    with site(reserve=0) as snapshot:
        answer = door(Call(path="/api/work?used=500"))
        assert answer.status_code == 200
        assert "tokens" not in answer["RateLimit-Policy"]
        assert ledger(snapshot)["tokens"] == 0
        # A view may ask for it by itself.
        assert door(Call(path="/api/work?reserve=600&used=500")).status_code == 200
        assert ledger(snapshot)["tokens"] == 500


def test_a_number_that_is_none_is_the_views_own_error():
    with site():
        assert Call(path="/api/wrong").wsgi().status_code == 500


# Headers -------------------------------------------------------------------------


def test_headers_name_the_units_that_the_draft_has_names_for(door):
    tier = Tier(slug="standard", name="standard")
    rows = [
        tier,
        Limit(tier=tier, name="bytes", amount=9000, period=60, unit="content-bytes"),
        *limits()[1:],
    ]
    for row in rows[1:]:
        row.tier = tier
    where = route(anonymous_tier=tier, reserve={"content-bytes": 10, "tokens": 10})
    with (
        guarded(*rows, where),
        override_settings(ROOT_URLCONF="tests.middleware.settling_views"),
    ):
        answer = door(Call(path="/api/work"))
    assert answer["RateLimit-Policy"] == (
        '"bytes";q=9000;qu="content-bytes";w=60, "tokens";q=1000;w=60, '
        '"at-once";q=2;qu="concurrent-requests", "requests";q=100;w=60'
    )
    assert answer["RateLimit"] == (
        '"bytes";r=8990;t=60, "tokens";r=990;t=60, "at-once";r=1, "requests";r=99;t=60'
    )
    # One that is about calls in time; that one is in flight says nothing about that.
    assert answer["X-RateLimit-Limit"] in ("1000", "100")


# Streams and requests in flight -----------------------------------------------------


def test_a_stream_is_in_flight_until_it_ends_and_settles_then():
    with site() as snapshot:
        answer = Client().get("/api/stream")
        assert ledger(snapshot) == {"tokens": 100, "at-once": 1, "requests": 1}
        assert len(b"".join(answer.streaming_content)) == 50
        close(answer)
        assert ledger(snapshot) == {"tokens": 10, "at-once": 0, "requests": 1}


# The test client's stream closes old connections when it is left in the middle.
@pytest.mark.django_db
def test_a_client_that_goes_away_has_used_what_was_sent_to_it():
    with site() as snapshot:
        answer = Client().get("/api/stream")
        for _, _part in zip(range(3), answer.streaming_content, strict=False):
            pass
        close(answer)
        assert ledger(snapshot) == {"tokens": 3, "at-once": 0, "requests": 1}


def test_an_asynchronous_stream_settles_when_it_ends():
    async def read():
        answer = await AsyncClient().get("/api/astream")
        during = await asyncio.to_thread(ledger, snapshot)
        parts = [part async for part in answer.streaming_content]
        await asyncio.to_thread(close, answer)
        return during, len(parts)

    with site() as snapshot:
        assert asyncio.run(read()) == ({"tokens": 100, "at-once": 1, "requests": 1}, 10)
        assert ledger(snapshot) == {"tokens": 10, "at-once": 0, "requests": 1}


def test_what_is_settled_after_the_response_was_closed_is_counted_too(door, monkeypatch):
    with site() as snapshot:
        kept = []
        monkeypatch.setitem(look_at, 0, kept.append)
        door(Call(path="/api/look"))
        kept[0].apiguard.settle(tokens=30)
        assert ledger(snapshot)["tokens"] == 30
        kept[0].apiguard.settle(tokens=130)
        assert ledger(snapshot)["tokens"] == 130
        kept[0].apiguard.settle(tokens=2)
        assert ledger(snapshot)["tokens"] == 2


def test_a_request_too_many_at_once_is_answered_429_with_a_second_to_wait(door):
    with site() as snapshot:
        streams = [Client().get("/api/stream") for _ in range(2)]
        refused = door(Call(path="/api/work"))
        assert (refused.status_code, refused["Retry-After"]) == (429, "1")
        assert refused.json()["violated-policies"] == ["at-once"]
        assert (refused["X-RateLimit-Limit"], refused["X-RateLimit-Remaining"]) == ("2", "0")
        assert ledger(snapshot)["requests"] == 2
        close(streams.pop())
        assert door(Call(path="/api/work")).status_code == 200
        close(streams.pop())


def test_a_file_is_in_flight_until_the_server_has_sent_it():
    from wsgiref.util import FileWrapper

    from django.core.handlers.wsgi import WSGIHandler

    environ = RequestFactory().get("/api/file").environ
    environ["wsgi.file_wrapper"] = FileWrapper
    with site() as snapshot, no_connection_looked_at():
        sent = WSGIHandler()(environ, lambda status, headers: None)
        assert isinstance(sent, FileWrapper)
        assert ledger(snapshot)["at-once"] == 1
        sent.close()
        assert ledger(snapshot)["at-once"] == 0


def test_a_request_whose_response_never_exists_is_no_longer_in_flight():
    with site() as snapshot:
        with pytest.raises(KeyboardInterrupt):
            Client().get("/api/leaves")
        assert ledger(snapshot) == {"tokens": 100, "at-once": 0, "requests": 1}


# Django's test client leaves the request's empty body open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_goes_away_while_an_asynchronous_view_runs_frees_its_slot():
    async def leave():
        asked = asyncio.ensure_future(AsyncClient().get("/api/awork?used=7&sleep=60"))
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        # The threads do the rest; what they are asked after it comes later.
        for _ in range(16):
            await limit_threads.call(lambda: None)
        await asyncio.sleep(0.05)

    with site() as snapshot:
        asyncio.run(leave())
        assert ledger(snapshot) == {"tokens": 7, "at-once": 0, "requests": 1}
    gc.collect()


def test_each_route_is_counted_by_itself_where_a_limit_says_so(door):
    tier = Tier(slug="standard", name="standard")
    limit = Limit(tier=tier, name="each", amount=1, period=60, per="caller-route")
    routes = [route(f"/api/{name}", anonymous_tier=tier) for name in ("work", "smaller")]
    with (
        guarded(tier, limit, *routes),
        override_settings(ROOT_URLCONF="tests.middleware.settling_views"),
    ):
        statuses = [
            door(Call(path=f"/api/{name}")).status_code
            for name in ("work", "smaller", "work", "smaller")
        ]
    assert statuses == [200, 200, 429, 429]


# Elsewhere ---------------------------------------------------------------------------


def test_without_the_middleware_a_throttle_settles_at_once_and_nothing_is_in_flight(door):
    with site(middleware=False) as snapshot:
        assert door(Call(path="/api/throttled?used=7")).status_code == 200
        assert ledger(snapshot) == {"tokens": 7, "at-once": 0, "requests": 1}
        assert door(Call(path="/api/throttled")).status_code == 200
        assert ledger(snapshot)["tokens"] == 107
        assert door(Call(path="/api/throttled?used=990")).status_code == 200
        assert door(Call(path="/api/throttled")).status_code == 429


def test_an_explanation_shows_tokens_and_what_is_in_flight_and_counts_nothing():
    with site() as snapshot:
        stream = Client().get("/api/stream")
        before = ledger(snapshot)
        explained = explain("GET", "/api/work")
        assert ledger(snapshot) == before
        shown = {one.row.name: (one.rate, one.used) for one in explained.limits}
        assert shown == {
            "tokens": ("1,000 tokens per minute", 200),
            "at-once": ("2 at once", 2),
            "requests": ("100 per minute", 2),
        }
        another = Client().get("/api/stream")
        refused = explain("GET", "/api/work")
        assert refused.outcome == "limit_exceeded"
        assert "2 in flight of 2 at once" in refused.deciding.reason
        close(stream)
        close(another)
