"""System checks: one test for every id, and silence where nothing is wrong."""

from __future__ import annotations

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from apiguard import checks

ANOTHER = "django.middleware.common.CommonMiddleware"


def ids(messages):
    return [message.id for message in messages]


def test_all_checks_run_with_djangos_own_and_find_nothing_here():
    found = django_checks.run_checks(include_deployment_checks=False)
    assert [message for message in found if (message.id or "").startswith("apiguard.")] == []


def test_the_deployment_check_runs_with_deploy_only():
    quiet = django_checks.run_checks(tags=["apiguard"])
    loud = django_checks.run_checks(tags=["apiguard"], include_deployment_checks=True)
    assert "apiguard.W012" not in ids(quiet)
    assert "apiguard.W012" in ids(loud)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, [], id="nothing given"),
        pytest.param({"REALM": ""}, ["apiguard.E001"], id="a wrong value"),
        pytest.param([], ["apiguard.E001"], id="no dict"),
        pytest.param({"REALMS": "a"}, ["apiguard.E002"], id="an unknown member"),
        pytest.param(
            {"REALMS": "a", "ADMIN": 1}, ["apiguard.E002", "apiguard.E001"], id="two at once"
        ),
    ],
)
def test_the_dict_of_settings_is_checked(given, expected):
    with override_settings(APIGUARD=given):
        assert ids(checks.check_settings()) == expected


@override_settings(APIGUARD={"REALMS": "a"})
def test_an_unknown_member_is_told_with_the_nearest_name():
    assert "'REALM'" in checks.check_settings()[0].hint


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        pytest.param([checks.MIDDLEWARE, ANOTHER], [], id="first"),
        pytest.param([ANOTHER], ["apiguard.W001"], id="missing"),
        pytest.param([ANOTHER, checks.MIDDLEWARE], ["apiguard.W002"], id="not the first"),
    ],
)
def test_the_middleware_has_to_be_the_first(installed, expected):
    with override_settings(MIDDLEWARE=installed):
        assert ids(checks.check_middleware()) == expected


SQLITE = "django.db.backends.sqlite3"
WAL = "PRAGMA journal_mode=WAL;"


@pytest.mark.parametrize(
    ("engine", "options", "expected"),
    [
        pytest.param("django.db.backends.postgresql", {}, [], id="PostgreSQL"),
        pytest.param(
            SQLITE, {"transaction_mode": "immediate", "init_command": WAL}, [], id="as it has to be"
        ),
        pytest.param(SQLITE, {}, ["apiguard.W003"], id="as it comes"),
        pytest.param(SQLITE, {"init_command": WAL}, ["apiguard.W003"], id="WAL alone"),
        pytest.param(
            SQLITE, {"transaction_mode": "IMMEDIATE"}, ["apiguard.W003"], id="IMMEDIATE alone"
        ),
    ],
)
def test_sqlite_has_to_let_readers_and_writers_in(engine, options, expected, monkeypatch):
    databases = {"default": {"ENGINE": engine, "OPTIONS": options}}
    monkeypatch.setattr(checks.django_settings, "DATABASES", databases)
    assert ids(checks.check_sqlite()) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"KEY_PEPPERS": {"a": "b"}}, [], id="nothing"),
        pytest.param(
            {"KEY_PEPPERS": {"a": "b"}, "ENABLED": False}, ["apiguard.W010"], id="switched off"
        ),
        pytest.param({}, ["apiguard.W011"], id="no pepper"),
        pytest.param(
            {"KEY_PEPPERS": {"a": "b"}, "POLICY_MAX_AGE": None}, ["apiguard.W012"], id="never looks"
        ),
        pytest.param({"REALM": ""}, [], id="settings that E001 is about"),
    ],
)
def test_what_must_not_be_deployed_is_told(given, expected):
    with override_settings(APIGUARD=given):
        assert ids(checks.check_deployment()) == expected


def test_no_check_reads_the_database():
    # Database access outside django_db tests is an error: pytest-django sees to it.
    for check in (
        checks.check_settings,
        checks.check_middleware,
        checks.check_sqlite,
        checks.check_deployment,
    ):
        check(app_configs=None, databases=None)
