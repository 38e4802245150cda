"""System checks: one test for every id, and silence where nothing is wrong."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core import checks as django_checks
from django.test import override_settings

from apiguard import caching, checks
from apiguard.checks.middleware import MIDDLEWARE
from apiguard.models import AllowedOrigin, CorsPolicy, Limit, Tier
from apiguard.policy import load
from tests.servers import CHECKOUT

ANOTHER = "django.middleware.common.CommonMiddleware"


def ids(messages):
    return [message.id for message in messages]


@pytest.mark.django_db
def test_all_checks_run_with_djangos_own_and_find_nothing_here():
    found = django_checks.run_checks(include_deployment_checks=False)
    assert [message for message in found if (message.id or "").startswith("apiguard.")] == []


def test_the_deployment_check_runs_with_deploy_only():
    # Since Django 6.1, None stands for all databases here.
    quiet = django_checks.run_checks(tags=["apiguard"], databases=[])
    loud = django_checks.run_checks(tags=["apiguard"], databases=[], include_deployment_checks=True)
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
def test_an_unknown_member_is_reported_with_the_nearest_name():
    assert "'REALM'" in checks.check_settings()[0].hint


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        pytest.param([MIDDLEWARE, ANOTHER], [], id="first"),
        pytest.param([ANOTHER], ["apiguard.W001"], id="missing"),
        pytest.param([ANOTHER, MIDDLEWARE], ["apiguard.W002"], id="not the first"),
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
    monkeypatch.setattr(settings, "DATABASES", databases)
    assert ids(checks.check_sqlite()) == expected


REDIS = "django_redis.cache.RedisCache"
FAST = {"SOCKET_TIMEOUT": 0.05, "SOCKET_CONNECT_TIMEOUT": 0.05}


def in_redis(location="redis://127.0.0.1:6379/1", options=FAST, backend=REDIS):
    return {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}


def of_counter(**caches):
    """What is said of the counter, without W006, which is about memory."""
    default = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": default, **caches}, APIGUARD={}):
        return checks.check_counter()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="no other cache"),
        pytest.param({"x": in_redis("redis://127.0.0.1:6379/2")}, id="another number"),
        pytest.param({"x": in_redis("redis://127.0.0.1:6380/1")}, id="another port"),
        pytest.param({"x": in_redis("redis://redis.example/1")}, id="another host"),
        pytest.param({"x": in_redis("not a url")}, id="no URL at all"),
        pytest.param({"x": {"BACKEND": "a.b.C"}}, id="a cache of another kind"),
    ],
)
def test_a_counter_with_a_database_of_its_own_is_in_order(other):
    assert of_counter(apiguard=in_redis(), **other) == []


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        pytest.param(REDIS, [], id="django-redis"),
        pytest.param("django.core.cache.backends.redis.RedisCache", ["apiguard.W008"], id="Django"),
        pytest.param("django.core.cache.backends.locmem.LocMemCache", ["apiguard.W008"], id="RAM"),
        pytest.param("no.such.Cache", ["apiguard.W008"], id="missing"),
    ],
)
def test_the_counter_needs_a_cache_of_django_redis(backend, expected):
    assert ids(of_counter(apiguard=in_redis(backend=backend))) == expected


def test_a_cache_with_the_url_of_the_counter_shares_its_connections():
    pool, database = of_counter(apiguard=in_redis(), pages=in_redis(options={}))
    assert (pool.id, database.id) == ("apiguard.W004", "apiguard.W007")
    assert "'pages'" in pool.msg
    assert "'pages'" in database.msg


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(in_redis("redis://localhost:6379/1"), id="by name"),
        pytest.param(in_redis("redis://LOCALHOST/1"), id="without the port, in capitals"),
        pytest.param(in_redis("redis://[::1]:6379/1"), id="IPv6 loopback"),
        pytest.param(in_redis("redis://:secret@127.0.0.1/1"), id="with a password"),
        pytest.param(in_redis("rediss://127.0.0.1:6379?db=1"), id="the number as a parameter"),
        pytest.param(in_redis("redis://r.example/1, redis://127.0.0.1/1"), id="as a replica"),
        pytest.param(in_redis(["redis://127.0.0.1/1"]), id="in a list"),
        pytest.param(
            in_redis(
                backend="django.core.cache.backends.redis.RedisCache",
                location="redis://127.0.0.1:6379/1",
                options={},
            ),
            id="Django's own backend",
        ),
        pytest.param(
            in_redis("redis://127.0.0.1", {"CONNECTION_POOL_KWARGS": {"db": 1}}),
            id="the number in the pool's arguments",
        ),
    ],
)
def test_a_cache_in_the_counters_database_would_clear_it_however_it_is_spelled(other):
    assert ids(of_counter(apiguard=in_redis(), other=other)) == ["apiguard.W007"]


def test_a_socket_is_a_server_too():
    mine, other = "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1&socket_timeout=1"
    assert ids(of_counter(apiguard=in_redis(mine), x=in_redis(other))) == ["apiguard.W007"]
    assert of_counter(apiguard=in_redis(mine), x=in_redis("unix:///run/redis.sock?db=2")) == []


def test_the_cache_that_every_app_uses_is_no_place_for_counters():
    with override_settings(CACHES={"default": in_redis()}, APIGUARD={"COUNTER": "default"}):
        assert ids(checks.check_counter()) == ["apiguard.W007"]


@pytest.mark.parametrize(
    ("location", "options", "said"),
    [
        pytest.param("redis://h/1", FAST, None, id="short ones"),
        pytest.param("redis://h/1", {}, "SOCKET_TIMEOUT and no SOCKET_CONNECT", id="none"),
        pytest.param("redis://h/1", None, "SOCKET_TIMEOUT and no SOCKET_CONNECT", id="no options"),
        pytest.param(
            "redis://h/1", {**FAST, "SOCKET_TIMEOUT": 0.6}, "no SOCKET_TIMEOUT", id="long"
        ),
        pytest.param(
            "redis://h/1", {**FAST, "SOCKET_CONNECT_TIMEOUT": 0}, "no SOCKET_CONNECT", id="zero"
        ),
        pytest.param("redis://h/1?socket_timeout=5", FAST, "no SOCKET_TIMEOUT", id="the URL wins"),
        pytest.param(
            "redis://h/1",
            {"CONNECTION_POOL_KWARGS": {"socket_timeout": 0.1, "socket_connect_timeout": 0.1}},
            None,
            id="in the pool's arguments",
        ),
    ],
)
def test_nobody_waits_long_for_the_counter(location, options, said):
    found = of_counter(apiguard=in_redis(location, options))
    assert ids(found) == ([] if said is None else ["apiguard.W005"])
    assert said is None or said in found[0].msg


@pytest.mark.parametrize(
    ("location", "options", "gunicorn", "expected"),
    [
        pytest.param("redis://h/1", {"max_connections": 2}, "--threads 8", 8, id="fewer"),
        pytest.param("redis://h/1", {"max_connections": 8}, "--threads=8", None, id="as many"),
        pytest.param("redis://h/1?max_connections=3", {}, "-w 2 --threads=4", 4, id="in the URL"),
        pytest.param("redis://h/1", {"max_connections": 4}, "", 5, id="Python's own threads"),
        pytest.param("redis://h/1", {}, "--threads 64", None, id="redis-py's own bound"),
        pytest.param("redis://h/1", {"max_connections": "many"}, "", None, id="no number"),
    ],
)
def test_every_thread_has_a_connection(monkeypatch, location, options, gunicorn, expected):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", gunicorn)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    found = of_counter(apiguard=in_redis(location, {**FAST, "CONNECTION_POOL_KWARGS": options}))
    assert ids(found) == ([] if expected is None else ["apiguard.W017"])
    assert expected is None or f"up to {expected} threads" in found[0].msg


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"COUNTER": "memory"}, id="memory"),
        pytest.param({"COUNTER": "redis+cluster://127.0.0.1:7000"}, id="a cluster"),
        pytest.param({"COUNTER": "nowhere"}, id="an alias that E001 is about"),
    ],
)
def test_a_counter_without_an_alias_has_no_findings(given):
    with override_settings(CACHES={"apiguard": {"BACKEND": "a.b.C"}}, APIGUARD=given):
        assert checks.check_counter() == []


@pytest.mark.parametrize(
    ("given", "debug", "expected"),
    [
        pytest.param({"COUNTER": "memory"}, False, ["apiguard.W006"], id="memory"),
        pytest.param({"COUNTER": "memory"}, True, [], id="memory, in development"),
        pytest.param({"COUNTER": "redis+cluster://h"}, False, [], id="a cluster"),
    ],
)
def test_counting_in_memory_is_no_good_for_more_than_one_worker(given, debug, expected):
    peppered = {**given, "KEY_PEPPERS": {"a": "b"}}
    with override_settings(APIGUARD=peppered, DEBUG=debug):
        assert ids(checks.check_deployment()) == expected


def test_every_id_is_documented_and_no_other():
    page = (CHECKOUT / "docs/deployment.md").read_text()
    documented = re.findall(r"^\| `apiguard\.(\w+)`", page, re.M)
    assert sorted(documented) == documented
    source = "".join(path.read_text() for path in (CHECKOUT / "apiguard/checks").glob("*.py"))
    assert set(documented) == set(re.findall(r'"apiguard\.([EW]\d{3})"', source))


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
def test_what_must_not_be_deployed_is_reported(given, expected):
    counted = {"COUNTER": "redis+cluster://127.0.0.1:7000", **given}
    with override_settings(APIGUARD=counted):
        assert ids(checks.check_deployment()) == expected


@pytest.mark.parametrize(
    ("apps", "middleware", "expected"),
    [
        pytest.param([], [], [], id="neither"),
        pytest.param(["corsheaders"], [], ["apiguard.W013"], id="the app"),
        pytest.param(["corsheaders.apps.CorsHeadersAppConfig"], [], ["apiguard.W013"], id="config"),
        pytest.param(
            [], ["corsheaders.middleware.CorsMiddleware"], ["apiguard.W013"], id="the middleware"
        ),
    ],
)
def test_moving_over_step_by_step_is_a_warning(apps, middleware, expected, monkeypatch):
    # Not override_settings: the package need not be installed here.
    monkeypatch.setattr(
        checks.middleware,
        "django_settings",
        SimpleNamespace(INSTALLED_APPS=["apiguard", *apps], MIDDLEWARE=[MIDDLEWARE, *middleware]),
    )
    assert ids(checks.check_corsheaders()) == expected


@pytest.mark.django_db
def test_what_is_wrong_with_rows_is_reported_where_django_looks_at_the_database():
    cors = CorsPolicy.objects.create(name="browsers")
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="HTTPS://A.example/")])
    assert ids(checks.check_policy()) == []
    found = django_checks.run_checks(tags=["apiguard"], databases=["default"])
    told = [message for message in found if message.id == "apiguard.W014"]
    (row,) = AllowedOrigin.objects.all()
    assert [message.hint for message in told] == [problem.hint for problem in row.problems()]
    assert all("HTTPS://A.example/" in message.msg for message in told)
    # What Django calls serious stops migrate.
    assert not any(message.is_serious() for message in told)


@pytest.mark.parametrize("fields", [{"unit": "tokens"}, {"kind": "concurrent"}])
@pytest.mark.django_db
def test_a_limit_that_is_settled_or_in_flight_needs_the_middleware(fields):
    tier = Tier.objects.create(slug="standard", name="Standard")
    Limit.objects.create(tier=tier, name="held", amount=5, period=60, **fields)
    assert ids(checks.check_policy(databases=["default"])) == []
    with override_settings(MIDDLEWARE=[]):
        (warning,) = checks.check_policy(databases=["default"])
    assert warning.id == "apiguard.W025"
    assert "held" in warning.msg


def test_rows_are_not_checked_before_their_tables_exist(monkeypatch):
    monkeypatch.setattr(load, "tables_exist", lambda: False)
    assert checks.check_policy(databases=["default"]) == []


def test_no_check_reads_the_database_without_databases_given():
    # Database access outside django_db tests is an error: pytest-django sees to it.
    for check in (
        checks.check_settings,
        checks.check_middleware,
        checks.check_corsheaders,
        checks.check_policy,
        checks.check_sqlite,
        checks.check_counter,
        checks.check_deployment,
    ):
        check(app_configs=None, databases=None)


@pytest.mark.parametrize(
    ("proxies", "settings", "expected"),
    [
        pytest.param([], {}, [], id="no proxy"),
        pytest.param(["10.0.0.0/8"], {}, ["apiguard.W015"], id="a proxy"),
        pytest.param(["unix"], {}, ["apiguard.W015"], id="a proxy on a socket"),
        pytest.param(
            ["10.0.0.0/8"],
            {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
            [],
            id="Django reads the scheme",
        ),
        pytest.param(
            ["10.0.0.0/8"],
            {"CSRF_TRUSTED_ORIGINS": ["https://shop.example"]},
            [],
            id="Django trusts the site",
        ),
    ],
)
def test_forms_behind_a_proxy_that_ends_tls_need_a_setting_of_django(proxies, settings, expected):
    with override_settings(APIGUARD={"TRUSTED_PROXIES": proxies}, **settings):
        assert ids(checks.check_forms_behind_tls()) == expected


UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
OURS = {**LOCMEM, "KEY_FUNCTION": caching.PATH}


def own_key(key, prefix, version):
    return f"{prefix}:{version}:{caching.add_caller(key)}"


@pytest.mark.parametrize(
    ("middleware", "alias", "expected"),
    [
        pytest.param([MIDDLEWARE, UPDATE], LOCMEM, ["apiguard.E003"], id="inside the guard"),
        pytest.param([MIDDLEWARE, UPDATE], OURS, [], id="with our function"),
        pytest.param(
            [MIDDLEWARE, UPDATE], {**LOCMEM, "KEY_FUNCTION": own_key}, [], id="with a like function"
        ),
        pytest.param([MIDDLEWARE], LOCMEM, [], id="no cache middleware"),
        pytest.param([UPDATE], LOCMEM, [], id="no guard"),
        pytest.param([UPDATE, MIDDLEWARE], LOCMEM, [], id="outside the guard"),
        pytest.param(
            [MIDDLEWARE, UPDATE],
            {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
            [],
            id="a cache that keeps nothing",
        ),
    ],
)
def test_a_cache_inside_the_guard_must_keep_callers_apart(middleware, alias, expected):
    with override_settings(MIDDLEWARE=middleware, CACHES={"default": alias}):
        assert ids(checks.check_page_cache()) == expected


def test_every_other_cache_that_could_store_pages_is_named_once_before_a_deployment():
    counter = {**in_redis(), "KEY_PREFIX": "counter"}
    aliases = {"default": LOCMEM, "safe": OURS, "other": LOCMEM, "apiguard": counter}
    with override_settings(MIDDLEWARE=[MIDDLEWARE, UPDATE], CACHES=aliases, APIGUARD={}):
        assert ids(checks.check_page_cache()) == ["apiguard.E003"]
        (other,) = checks.check_other_page_caches()
    assert other.id == "apiguard.W016"
    assert "CACHES['other']" in other.hint
