"""What a request costs does not grow with the rows, nor with a flood of others.

Counted, not timed: the lines of Python that run, and the queries. What a dict
or a set does inside is counted by ones that tell.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apiguard.counters.base import LimitCheck, decision_of
from apiguard.counters.denials import Denials
from apiguard.models import ApiKey, Client, Route, everything
from apiguard.models.hourly_counts import HourlyCountQuerySet
from apiguard.models.state import publish
from apiguard.policy import keyring
from apiguard.policy.compile import compile_rows
from apiguard.policy.keyring import Keyring
from apiguard.policy.rows import Rows
from apiguard.request.failed_credentials import FailedCredentials
from apiguard.rules import keys as key_rules
from apiguard.rules import origin_patterns
from apiguard.rules.limits import Limit
from apiguard.rules.origins import OriginSet, parse_pattern
from apiguard.rules.paths import PrefixTable
from apiguard.rules.rates import Rate
from apiguard.telemetry.buffer import Buffer, PendingWrites
from tests.policy import rows

FEW, MANY = 10, 5_000


def lines_of(function):
    """How many lines of Python ``function()`` runs."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_a_walk_over_all_entries_would_be_counted():
    def walk(size):
        return [number for number in range(size) if number < 0]

    assert lines_of(lambda: walk(1000)) > 10 * lines_of(lambda: walk(10))


class Telling(dict):
    """A dict that counts what is asked of it, and is never walked over."""

    asked = 0

    def get(self, key, default=None):
        self.asked += 1
        return super().get(key, default)

    def __iter__(self):
        raise AssertionError("somebody walks over all entries")

    keys = values = items = __iter__


# -- a request among many rows --------------------------------------------------------------


def origin_set(size):
    families = [f"https://*.team{number}.example.com" for number in range(size)]
    return OriginSet(
        [parse_pattern(f"https://app{number}.example.com") for number in range(size)]
        + [parse_pattern(text) for text in families]
    )


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://app1.example.com", id="exact"),
        pytest.param("https://a.b.team1.example.com", id="of a family"),
        pytest.param("https://evil.example", id="foreign"),
        pytest.param("https://" + "a." * 100 + "evil.example", id="foreign and deep"),
        pytest.param("x" * 100_000, id="endless"),
    ],
)
def test_an_origin_costs_the_same_among_few_and_many(origin):
    few, many = origin_set(FEW), origin_set(MANY)
    assert lines_of(lambda: few.match(origin)) == lines_of(lambda: many.match(origin))


def test_a_host_of_many_labels_costs_no_more_than_the_deepest_family_has():
    allowed = origin_set(FEW)
    deep, deeper = (f"https://{'a.' * labels}evil.example" for labels in (10, 100))
    assert lines_of(lambda: allowed.match(deep)) == lines_of(lambda: allowed.match(deeper))


def prefixes(size):
    return PrefixTable({f"/api/{number}/orders/": number for number in range(size)})


@pytest.mark.parametrize(
    "path",
    [
        "/api/3/orders/7",
        "/api/3/orders",
        "/elsewhere",
        "/",
        "/" * 10_000,
        "/api/3/" + "x/" * 10_000,
    ],
    ids=["covered", "the prefix itself", "foreign", "root", "slashes", "endless"],
)
def test_a_path_costs_the_same_among_few_and_many(path):
    few, many = prefixes(FEW), prefixes(MANY)
    assert lines_of(lambda: few.find(path)) == lines_of(lambda: many.find(path))


@pytest.mark.parametrize("depth", [10, 10_000])
def test_a_path_costs_a_look_up_for_each_segment_of_the_deepest_prefix(depth):
    table = prefixes(FEW)
    table._entries = entries = Telling(table._entries)
    table.find("/api/3/" + "x/" * depth)
    assert entries.asked == "/api/3/orders/".count("/")


# -- a request among many keys --------------------------------------------------------------


def record(number):
    client = SimpleNamespace(pk=number)
    return SimpleNamespace(pk=number, key_id=f"k{number}", client=client)


def ring_of(size):
    return Keyring(map(record, range(size)), unknown=[f"ghost{number}" for number in range(size)])


@pytest.mark.parametrize("key_id", ["k1", "ghost1", "nobody"])
def test_a_key_costs_the_same_among_few_and_many(key_id):
    few, many = ring_of(FEW), ring_of(MANY)
    assert lines_of(lambda: few.get(key_id)) == lines_of(lambda: many.get(key_id))


def test_a_hundred_thousand_live_keys_in_rotation_push_out_none_that_is_hot():
    ring, looked_up = Keyring(), 0
    for number in range(100_000):
        for key_id in (f"k{number}", f"hot{number % 100}"):
            if ring.get(key_id) is None:
                looked_up += key_id.startswith("hot")
                ring.put(key_id, record(number))
    assert looked_up == 100
    assert len(ring) <= 2 * keyring.MAX_RECORDS


def test_as_many_live_keys_as_there_is_room_for_are_looked_up_once():
    ring, looked_up = Keyring(), 0
    for number in range(5 * keyring.MAX_RECORDS):
        key_id = f"k{number % keyring.MAX_RECORDS}"
        if ring.get(key_id) is None:
            looked_up += 1
            ring.put(key_id, record(number))
    assert looked_up == keyring.MAX_RECORDS


# -- floods ---------------------------------------------------------------------------------


def steps(table, work, size):
    """The lines of 100 more events, when ``size`` have come already."""
    for number in range(size):
        work(table, number)
    return lines_of(lambda: [work(table, number) for number in range(size, size + 100)])


def unknown_key(ring, number):
    if ring.get(f"ghost{number}") is None:
        ring.put(f"ghost{number}", None)


LIMIT = Limit(pk=1, name="m", kind="window", amount=1, period=60)


class Refuses:
    def check(self, check):
        return decision_of(0, [(LIMIT, False, 1, 60_000_000, 60_000_000)], allowed=False)


def denied(denials, principal):
    denials.check(Refuses(), None, LimitCheck(principal, (LIMIT,), 1))


def denied_principal(denials, number):
    denied(denials, f"client:{number}")


def denied_client(denials, number):
    denied(denials, "client:1")


def bad_credential(failed, number):
    failed.count(f"ip:{number}")
    failed.claim_look_up(f"ip:{number}")


def bad_credentials_of_one(failed, number):
    failed.count("ip:1")
    failed.claim_look_up("ip:1")


def used_key(buffer, number):
    buffer.used(number)


def refusal(buffer, number):
    buffer.refused(1, "key_unknown", True)


def shadowed(buffer, number):
    buffer.shadow(1, f"ip:{number}")


FLOODS = [
    pytest.param(Keyring, unknown_key, id="unknown keys"),
    pytest.param(lambda: Denials(max_principals=100), denied_principal, id="denied clients"),
    pytest.param(Denials, denied_client, id="denied requests of one client"),
    pytest.param(lambda: FailedCredentials(Rate(1, 60)), bad_credential, id="bad credentials"),
    pytest.param(
        lambda: FailedCredentials(Rate(1, 60)), bad_credentials_of_one, id="bad ones of one address"
    ),
    pytest.param(Buffer, used_key, id="used keys"),
    pytest.param(Buffer, refusal, id="refusals"),
    pytest.param(Buffer, shadowed, id="shadowed principals"),
]


@pytest.fixture
def small(monkeypatch):
    """Tables that are full after a hundred entries."""
    monkeypatch.setattr("apiguard.policy.keyring.MAX_UNKNOWN", 100)
    monkeypatch.setattr("apiguard.request.failed_credentials.MAX_ADDRESSES", 100)
    monkeypatch.setattr("apiguard.telemetry.buffer.MAX_ENTRIES", 100)
    monkeypatch.setattr("apiguard.telemetry.buffer.MAX_SHADOWED", 100)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("make", "work"), FLOODS)
def test_in_a_flood_an_event_costs_the_same_however_many_came_before(make, work):
    first, later = steps(make(), work, 300), steps(make(), work, MANY)
    assert later <= first * 1.1


class Walked(Counter):
    """A counter that counts how often somebody begins to walk over it."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()

    def items(self):
        self.walks += 1
        return super().items()


def test_what_waits_is_walked_over_once_however_much_it_is(monkeypatch):
    written = []
    monkeypatch.setattr(HourlyCountQuerySet, "add", lambda *row: written.append(row))
    waiting = PendingWrites()
    waiting.refused = Walked()
    for number in range(1000):
        waiting.add_refused((number, "a", True))
    waiting.write("default", None)
    assert len(written) == 1000
    assert (waiting.refused.walks, waiting.size) == (1, 0)


# -- compiling ------------------------------------------------------------------------------


def many_origins(size):
    patterns = (f"https://{'*.' * (n % 3 == 0)}a{n}.example.com" for n in range(size))
    origins = tuple(rows.origin(text, pk=n) for n, text in enumerate(patterns))
    return Rows(cors_policies=(rows.cors(allow_credentials=True),), origins=origins)


def many_routes(size):
    return Rows(routes=tuple(rows.route(pk, methods=["GET"]) for pk in range(size)))


def many_tiers(size):
    limits = tuple(rows.limit(pk, tier_id=pk, route_id=pk) for pk in range(size))
    return Rows(
        routes=tuple(rows.route(pk) for pk in range(size)),
        tiers=tuple(rows.tier(pk) for pk in range(size)),
        limits=limits,
    )


def one_tier_with_a_limit_for_every_route(size):
    return Rows(
        routes=tuple(rows.route(pk) for pk in range(size)),
        tiers=(rows.tier(1),),
        limits=tuple(rows.limit(pk, route_id=pk) for pk in range(size)),
    )


@pytest.mark.parametrize(
    "make", [many_origins, many_routes, many_tiers, one_tier_with_a_limit_for_every_route]
)
def test_compiling_twice_the_rows_takes_twice_the_work(make):
    compile_rows(make(1))  # What is made once is made.
    once, twice = (lines_of(lambda size=size: compile_rows(make(size))) for size in (200, 400))
    assert twice <= 2.1 * once
    assert compile_rows(make(200)).problems == ()


def test_an_origin_is_read_once_when_policy_is_compiled():
    read = origin_patterns._read
    made = many_origins(500)
    read.cache_clear()
    compile_rows(made)
    assert read.cache_info().misses == 500


# -- queries --------------------------------------------------------------------------------


@pytest.fixture
def key(transactional_db):
    """A route that wants a key, and the text of one."""
    Route.objects.create(name="api", path_prefix="/api/", access="credentials")
    return ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")


def queries(client, text):
    with CaptureQueriesContext(connection) as captured:
        client.get("/api/nothing", headers={"X-API-Key": text})
    return len(captured.captured_queries)


def test_a_cold_key_costs_one_query_a_warm_one_and_garbage_none(client, key):
    _, text = key
    client.get("/health")
    assert [queries(client, text) for _ in range(3)] == [1, 0, 0]
    assert queries(client, f"{text[:-1]}!") == 0
    assert queries(client, "ag_live_nonsense") == 0


def test_an_unknown_key_costs_one_query_however_often_it_comes(client, key):
    client.get("/health")
    unknown = key_rules.generate("ag", "live").text
    assert [queries(client, unknown) for _ in range(3)] == [1, 0, 0]


def test_a_change_of_another_key_or_client_costs_this_one_nothing(client, key):
    _, text = key
    queries(client, text)
    other = Client.objects.create(slug="b", name="B")
    ApiKey.objects.issue(other, "k")[0].revoke("lost")
    other.save()
    client.get("/health")
    assert queries(client, text) == 0
    # Not even a change of everything: the reload reads the keys in use.
    publish_all()
    client.get("/health")
    assert queries(client, text) == 0


def publish_all():
    with transaction.atomic():
        publish(everything)
