"""While tests of a project run: no surprise for them, and counts from zero in each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from django.db import connection
from django.template import Template
from django.test import Client as Browser
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.test import utils as test_utils

from apiguard import conf, pytest_plugin, test_run
from apiguard.models import Client, Limit, Route, Tier
from apiguard.policy.holder import holder
from apiguard.telemetry.periodic import PeriodicThread
from apiguard.testing import make_key, override_policy, reset_counters

HEALTH = "/health"
# As in production but for the first; the counter is one that cannot be reached.
TESTING = {"TESTING": True, "POLICY_MAX_AGE": 1.0, "COUNTER": "apiguard"}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "apiguard": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"},
}
while_testing = override_settings(APIGUARD=TESTING, CACHES=CACHES)


def guarded(**fields):
    return Route(**{"name": "health", "path_prefix": HEALTH, **fields})


def write_limited_route():
    """A route that admits one request a minute."""
    tier = Tier.objects.create(slug="one", name="One")
    Limit.objects.create(tier=tier, name="per-minute", amount=1, period=60)
    guarded(access="public", anonymous_tier=tier).save()


def status(**headers):
    return Browser().get(HEALTH, headers=headers).status_code


# -- whether tests run --------------------------------------------------------------------


@pytest.fixture
def untouched():
    """The module as projects have it; the one of these tests detects nothing."""
    spec = importlib.util.spec_from_file_location("untouched", test_run.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_django_still_replaces_this_method_in_tests(untouched):
    moved = "Django's test runner leaves another trace now: see apiguard/test_run.py"
    assert Template._render is test_utils.instrumented_test_render, moved
    assert untouched.is_detected(), moved


DETECTED = """
from django.conf import settings; settings.configure(); import django; django.setup()
from apiguard.test_run import is_detected
seen = [is_detected()]
from django.test import Client; from django.test.utils import (
    setup_test_environment, teardown_test_environment)
seen.append(is_detected())
setup_test_environment(); seen.append(is_detected())
teardown_test_environment(); seen.append(is_detected())
print(seen)
"""


def test_a_run_is_detected_from_beginning_to_end_and_an_import_is_none(monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", DETECTED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[False, False, True, False]"


def test_the_plugin_is_enough(untouched, monkeypatch):
    monkeypatch.setattr(Template, "_render", None)
    assert not untouched.is_detected()
    untouched.note_plugin()
    assert untouched.is_detected()


@pytest.mark.parametrize("detected", [True, False])
@pytest.mark.parametrize("setting", [True, False, None])
def test_the_setting_decides_before_anything_is_detected(monkeypatch, detected, setting):
    monkeypatch.setattr(test_run, "is_detected", lambda: detected)
    with override_settings(APIGUARD={**TESTING, "TESTING": setting}, CACHES=CACHES):
        settings = conf.current()
    testing = detected if setting is None else setting
    assert settings.testing is testing
    expected = ("memory", None) if testing else ("apiguard", 1.0)
    assert (settings.counter, settings.policy_max_age) == expected


def test_no_thread_is_started():
    thread = PeriodicThread("apiguard-test", lambda: None)
    with while_testing:
        thread.wake()
    assert not thread.is_running


def test_the_plugin_counts_from_zero():
    tier = Tier(slug="one", name="One")
    rows = (
        guarded(access="public", anonymous_tier=tier),
        Limit(tier=tier, name="per-minute", amount=1, period=60),
    )
    with override_policy(*rows):
        assert [status(), status()] == [200, 429]
        pytest_plugin.pytest_runtest_setup()
        assert [status(), status()] == [200, 429]


# -- without a database -------------------------------------------------------------------


@while_testing
class WithoutDatabase(SimpleTestCase):
    def test_there_is_no_policy(self):
        assert status() == 200

    def test_a_key_is_no_reason_for_a_query(self):
        _, text = make_key(Client(slug="acme", name="Acme"))
        assert status(x_api_key=text) == 200

    async def test_nor_is_an_asynchronous_request(self):
        assert (await self.async_client.get(HEALTH)).status_code == 200

    def test_policy_that_is_given_holds(self):
        with override_policy(guarded()):
            assert status() == 401


@while_testing
@pytest.mark.django_db(transaction=True)
def test_a_test_without_a_database_does_not_keep_policy_from_the_next(django_db_blocker):
    guarded().save()
    with django_db_blocker.block():
        assert status() == 200
    assert status() == 401


# -- with one -----------------------------------------------------------------------------


@while_testing
class WithRollback(TestCase):
    @classmethod
    def setUpTestData(cls):
        write_limited_route()

    def test_policy_of_the_class_is_enforced_and_counted(self):
        assert [status(), status()] == [200, 429]

    def test_and_counted_from_zero_in_the_next_test(self):
        assert [status(), status()] == [200, 429]

    def test_no_query_is_recorded(self):
        with self.assertNumQueries(0):
            status()

    async def test_an_asynchronous_request_sees_what_the_test_wrote(self):
        assert (await self.async_client.get(HEALTH)).status_code == 200

    def test_counts_can_be_dropped(self):
        assert [status(), status()] == [200, 429]
        reset_counters()
        assert status() == 200


@while_testing
class AfterRollback(TestCase):
    def test_policy_of_another_class_is_gone(self):
        with self.assertNumQueries(0):
            assert [status(), status()] == [200, 200]

    def test_the_project_counts_its_own_queries(self):
        with self.assertNumQueries(1):
            status()
            Route.objects.count()


@while_testing
class WithCommits(TransactionTestCase):
    def test_committed_policy_is_enforced_and_counted(self):
        write_limited_route()
        assert [status(), status()] == [200, 429]

    def test_and_counted_from_zero_after_a_flush(self):
        write_limited_route()
        assert [status(), status()] == [200, 429]

    def test_and_gone_then(self):
        with self.assertNumQueries(0):
            assert [status(), status()] == [200, 200]


@while_testing
@pytest.mark.django_db
def test_policy_that_another_process_committed_is_read_once(monkeypatch):
    # What is read without a change of this transaction is taken for committed.
    Route._base_manager.bulk_create([guarded(pk=1)])
    holder.forget()
    try:
        assert status() == 401
        monkeypatch.setattr(holder, "_read_for_this_request", None)
        assert status() == 401
    finally:
        holder.forget()


@while_testing
@pytest.mark.django_db
def test_a_database_that_fails_on_purpose_is_no_503():
    def fail(*_):
        raise ZeroDivisionError

    with connection.execute_wrapper(fail):
        assert status() == 200
