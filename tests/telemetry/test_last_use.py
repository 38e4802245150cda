"""The last use of a key: one look a minute and process, one write a minute in all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from apiguard.models import ApiKey, Client, Route
from apiguard.models.hourly_counts import HourlyCountQuerySet
from apiguard.telemetry import buffer as waiting
from apiguard.telemetry import last_use as module
from apiguard.telemetry.buffer import Buffer
from apiguard.telemetry.buffer import buffer as shared
from apiguard.telemetry.last_use import LastUse
from tests.servers import clean_environment

CHECKOUT = Path(__file__).resolve().parents[2]
PROCESSES = 4
KEYS = 40


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def remembering():
    """As in production, where no test starts over with other rows."""
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 3600}):
        yield


@pytest.fixture
def keys(db):
    client = Client.objects.create(slug="a", name="A")
    return [ApiKey.objects.issue(client, f"key {number}")[0] for number in range(3)]


@pytest.fixture
def buffer(monkeypatch, remembering):
    monkeypatch.setattr(Buffer, "_start", lambda self: None)
    buffer = Buffer()
    buffer.clock = Clock()
    buffer._last_use = LastUse(buffer.clock)
    return buffer


def statements(buffer, keys):
    with CaptureQueriesContext(connection) as captured:
        for key in keys:
            buffer.used(key.pk)
        buffer.flush()
    return len([query for query in captured.captured_queries if "last_used_at" in query["sql"]])


def test_all_keys_of_a_flush_are_written_at_once(buffer, keys):
    buffer.flush()
    one = statements(buffer, keys[:1])
    assert statements(buffer, keys[1:]) == one
    assert not ApiKey.objects.filter(last_used_at=None).exists()


def test_within_a_minute_a_key_costs_nothing_more(buffer, keys):
    assert statements(buffer, keys) > 0
    buffer.clock.now += 59
    assert statements(buffer, keys) == 0
    assert buffer._pending.size == 0


def test_after_a_minute_it_is_looked_at_again(buffer, keys):
    statements(buffer, keys)
    ApiKey.objects.filter(pk=keys[0].pk).update(last_used_at=None)
    buffer.clock.now += 60
    assert statements(buffer, keys) > 0
    assert ApiKey.objects.get(pk=keys[0].pk).last_used_at is not None


def test_a_use_between_two_flushes_is_not_written_twice(buffer, keys):
    buffer.used(keys[0].pk)
    buffer._pending.used[keys[1].pk] = ""
    buffer._last_use.note([keys[1].pk])
    buffer.flush()
    used = ApiKey.objects.exclude(last_used_at=None)
    assert [key.pk for key in used] == [keys[0].pk]


def test_a_use_that_could_not_be_written_is_tried_again(buffer, keys, monkeypatch):
    def fail(*args):
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr("apiguard.models.key_queryset.ApiKeyQuerySet.touch", fail)
        statements(buffer, keys)
    assert statements(buffer, keys) > 0
    assert not ApiKey.objects.filter(last_used_at=None).exists()


def test_a_use_that_was_written_is_noted_although_what_follows_fails(buffer, keys, monkeypatch):
    def fail(*args):
        raise OperationalError("away")

    buffer.refused(1, "a", True)
    with monkeypatch.context() as patch:
        patch.setattr(HourlyCountQuerySet, "add", fail)
        statements(buffer, keys)
    assert statements(buffer, keys) == 0


def test_no_statement_names_more_keys_than_databases_take(buffer, keys, monkeypatch):
    monkeypatch.setattr(waiting, "TOUCHED_AT_ONCE", 2)
    one = statements(buffer, keys[:1])
    buffer.clock.now += 60
    assert statements(buffer, keys) == 2 * one


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_NOTED", 10)
    last_use = LastUse(Clock())
    last_use.note(range(1000))
    assert len(last_use._until) <= 20
    assert last_use.is_noted(999)
    assert not last_use.is_noted(0)


def test_a_forked_process_remembers_nothing(buffer, keys):
    statements(buffer, keys)
    buffer._reset()
    assert not buffer._last_use.is_noted(keys[0].pk)


def test_where_tests_start_over_nothing_is_remembered(db, keys):
    buffer = Buffer()
    statements(buffer, keys)
    ApiKey.objects.update(last_used_at=None)
    statements(buffer, keys)
    assert not ApiKey.objects.filter(last_used_at=None).exists()


# -- several processes ----------------------------------------------------------------------


def process(url, command):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.telemetry.using", command, str(KEYS)],
        cwd=CHECKOUT,
        env=clean_environment(
            {"TEST_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "project.settings_test"}
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(started):
    out, errors = started.communicate("go\n", timeout=120)
    assert started.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_workers_on_postgres_write_a_key_once_a_minute_in_all(migrated_postgres_url):
    answer(process(migrated_postgres_url, "issue"))
    workers = [process(migrated_postgres_url, "use") for _ in range(PROCESSES)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [answer(worker) for worker in workers]
    assert sum(one["written"] for one in answers) == KEYS
    assert [one["dropped"] for one in answers] == [0] * PROCESSES
    # Who looks first writes; nobody looks, or writes, twice.
    assert all(one["sent"] in (["SELECT"], ["SELECT", "UPDATE"]) for one in answers)


def test_the_network_of_the_last_use_is_written_with_it_and_an_unknown_one_changes_nothing(db):
    client = Client.objects.create(slug="a", name="A")
    keys = [ApiKey.objects.issue(client, name)[0] for name in ("a", "b", "c")]
    networks = ["192.0.2.0/24", "2001:db8::/48", ""]
    ApiKey.objects.filter(pk=keys[2].pk).update(last_used_from="198.51.100.0/24")
    buffer = Buffer()
    for key, network in zip(keys, networks, strict=True):
        buffer.used(key.pk, lambda network=network: network)
    buffer.flush()
    stored = ApiKey.objects.order_by("name").values_list("last_used_from", flat=True)
    assert list(stored) == ["192.0.2.0/24", "2001:db8::/48", "198.51.100.0/24"]


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("", "")],
)
def test_a_request_leaves_the_network_that_it_came_from(db, client, address, network):
    Route.objects.create(name="api", path_prefix="/api/plain", mode="enforce", access="credentials")
    key, text = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    client.get("/api/plain", headers={"X-API-Key": text}, REMOTE_ADDR=address)
    shared.flush()
    assert ApiKey.objects.get(pk=key.pk).last_used_from == network
