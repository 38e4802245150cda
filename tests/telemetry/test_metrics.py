"""Metrics: what is counted, under which labels, and who serves them."""

from __future__ import annotations

import re
import time

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client as Browser
from django.test import override_settings
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from apiguard import conf
from apiguard.counters.factory import forget_counters
from apiguard.rules import setting_values
from apiguard.telemetry import metrics as module
from apiguard.telemetry.buffer import buffer
from apiguard.telemetry.metrics import Metrics, PolicyGauges
from apiguard.testing import explain
from tests.request.site import DOORS, Call, Caller, guarded, route, settings_of, tier
from tests.scripted import said_by, settings_on
from tests.servers import CHECKOUT

EVERY_DOOR = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own, in which the guard counts."""
    fresh = CollectorRegistry()
    metrics = Metrics(fresh)
    for name in ("request.effects", "request.recording", "request.usage", "middleware"):
        monkeypatch.setattr(f"apiguard.{name}.metrics", lambda: metrics)
    forget_counters()
    yield fresh
    forget_counters()


def samples(registry, name):
    """The values of a metric that are not zero, by its labels, in their order."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and sample.value
    }


# -- what is counted ----------------------------------------------------------------


@pytest.mark.django_db
@EVERY_DOOR
@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_requests_and_refusals_are_counted_by_route_and_outcome(registry, door, mode):
    limits = tier("free", 2)
    caller = Caller(tier=limits[0])
    row = route(access="credentials", mode=mode)
    with guarded(row, *limits, *caller.rows, METRICS=True):
        for _ in range(3):
            door(Call(headers={"X-API-Key": caller.text}))
        door(Call())
    enforced = str(mode == "enforce").lower()
    refused = {
        ("/api/", "limit_exceeded", enforced): 1,
        ("/api/", "no_credential", enforced): 1,
    }
    assert samples(registry, "apiguard_refusals_total") == refused
    admitted = {("/api/", "admitted", enforced): 2}
    assert samples(registry, "apiguard_requests_total") == refused | admitted
    assert samples(registry, "apiguard_guard_seconds_count") == {(): 4}
    assert samples(registry, "apiguard_limit_decisions_total") == {("memory",): 3}
    values = {
        value
        for family in registry.collect()
        for s in family.samples
        for value in s.labels.values()
    }
    for secret in (caller.text, caller.row.key_id, "acme", "127.0.0.1", "/api/plain"):
        assert secret not in values


@pytest.mark.django_db
@EVERY_DOOR
def test_the_time_of_the_view_is_not_the_guards(registry, door, monkeypatch):
    ticks = iter(range(1_000))
    monkeypatch.setattr("apiguard.request.stopwatch.perf_counter", lambda: next(ticks))
    with guarded(route(access="application"), METRICS=True):
        door(Call())
    # Before the view, at the view, and after it: each lasts one tick.
    assert samples(registry, "apiguard_guard_seconds_sum") == {(): 3}


@pytest.mark.django_db
@EVERY_DOOR
def test_without_the_setting_nothing_is_counted(registry, door):
    with guarded(route(access="credentials"), METRICS=False):
        door(Call())
    assert samples(registry, "apiguard_requests_total") == {}
    assert samples(registry, "apiguard_guard_seconds_count") == {}


@pytest.mark.django_db
def test_an_explanation_is_no_request(registry):
    limits = tier("anonymous", 2)
    with guarded(route(anonymous_tier=limits[0]), *limits, METRICS=True):
        explain("GET", "/api/plain")
    assert samples(registry, "apiguard_limit_decisions_total") == {}
    assert samples(registry, "apiguard_requests_total") == {}


def test_routes_beyond_a_bound_are_counted_together(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for name in "abcda":
        metrics.count_refusal(name, "no_credential", True)
    assert samples(registry, "apiguard_refusals_total") == {
        ("a", "no_credential", "true"): 2,
        ("b", "no_credential", "true"): 1,
        ("(others)", "no_credential", "true"): 2,
    }


def test_gauges_show_the_policy_in_force_and_what_was_dropped(monkeypatch):
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    monkeypatch.setattr(module, "read_policy", lambda: PolicyGauges(7, time.time() - 100, 12))
    monkeypatch.setattr(buffer, "dropped", buffer.dropped + 3)
    metrics.set_gauges()
    metrics.set_gauges()
    assert samples(registry, "apiguard_policy_revision") == {(): 7}
    assert samples(registry, "apiguard_keyring_keys") == {(): 12}
    assert samples(registry, "apiguard_policy_refresh_age_seconds")[()] >= 100
    assert samples(registry, "apiguard_telemetry_dropped_total")[("counts",)] == 3


# -- who serves them ----------------------------------------------------------------


@pytest.fixture
def served():
    with override_settings(ROOT_URLCONF="apiguard.urls", MIDDLEWARE=[]):
        yield Browser()


def test_the_page_is_what_prometheus_reads(served):
    with override_settings(APIGUARD=settings_of(METRICS=True)):
        module.metrics().count_refusal('a "quoted" route', "no_credential", True)
        answer = served.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "no-store" in answer.headers["Cache-Control"]
    families = {f.name: f for f in text_string_to_metric_families(answer.content.decode())}
    (sample,) = [
        sample
        for sample in families["apiguard_refusals"].samples
        if sample.name.endswith("_total") and "quoted" in sample.labels["route"]
    ]
    assert (sample.labels["route"], sample.value) == ('a "quoted" route', 1)
    assert set(documented()) <= {family.name for family in REGISTRY.collect()}


def test_the_page_does_not_exist_without_the_setting_nor_for_other_methods(served):
    assert served.get("/metrics").status_code == 404
    with override_settings(APIGUARD=settings_of(METRICS=True)):
        assert served.post("/metrics").status_code == 405


def test_the_reference_site_does_not_serve_it(client):
    with override_settings(APIGUARD=settings_of(METRICS=True)):
        assert client.get("/metrics").status_code == 404


def documented():
    page = (CHECKOUT / "docs/events.md").read_text()
    found = re.findall(r"^\| `(apiguard_\w+)`", page, re.M)
    return [re.sub("_total$", "", name) for name in found]


def test_every_metric_is_documented():
    registry = CollectorRegistry()
    Metrics(registry)
    assert {family.name for family in registry.collect()} == set(documented())


def test_processes_are_added_up(tmp_path):
    """Of two processes that share a folder, one has ended."""
    settings = settings_on("sqlite://:memory:")
    said = said_by(
        "tests.telemetry.metered", settings | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    )
    assert said == {"refusals": 3, "revision": 7, "keyring": 12}


def test_without_the_package_the_setting_is_refused(monkeypatch):
    monkeypatch.setattr(setting_values, "find_spec", lambda name: None)
    refused = pytest.raises(ImproperlyConfigured, match="prometheus-client")
    with override_settings(APIGUARD={"METRICS": True}), refused:
        conf.current()
    with override_settings(APIGUARD={"METRICS": False}):
        assert not conf.current().metrics
