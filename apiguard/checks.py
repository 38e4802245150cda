"""System checks: what would go wrong in this project, before it does.

Errors (``apiguard.E0xx``) stop a deploy; warnings (``W0xx``) say what to look
at. The database is read only where Django is asked to (``check --database``);
``manage.py apiguard check`` says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.utils.module_loading import import_string
from django_redis.cache import RedisCache
from redis.connection import parse_url

from . import conf
from .models.state import write_alias
from .policy import load
from .policy.compile import compile_rows

MIDDLEWARE = "apiguard.middleware.ApiGuardMiddleware"

# Every request waits this long for a Redis that hangs, until the breaker opens.
LONGEST_TIMEOUT = 0.5
# Of problems, that are told one by one.
MOST_PROBLEMS = 50

TIMEOUTS = ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT")


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """E001 wrong value, E002 unknown member of the APIGUARD dict."""
    try:
        given = conf.given()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="apiguard.E001")]
    _settings, errors = conf.parse(given, getattr(django_settings, "CACHES", {}))
    return [
        checks.Error(
            f"APIGUARD[{error.field!r}]: {error.reason}",
            hint=error.hint,
            id="apiguard.E002" if error.code == "unknown_setting" else "apiguard.E001",
        )
        for error in errors
    ]


def check_middleware(**_: Any) -> list[checks.CheckMessage]:
    """W001 the middleware is missing, W002 it is not the first."""
    installed = list(getattr(django_settings, "MIDDLEWARE", ()))
    if MIDDLEWARE not in installed:
        return [
            checks.Warning(
                "apiguard's middleware is not installed: CORS, request rules, response "
                "headers and Django's own errors are not covered.",
                hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.",
                id="apiguard.W001",
            )
        ]
    if installed[0] != MIDDLEWARE:
        return [
            checks.Warning(
                "apiguard's middleware is not the first: what stands before it runs unguarded, "
                "and its responses lack the route's headers.",
                hint=f"Move {MIDDLEWARE!r} to the top of MIDDLEWARE.",
                id="apiguard.W002",
            )
        ]
    return []


def check_forms_behind_tls(**_: Any) -> list[checks.CheckMessage]:
    """W015 a proxy is trusted, and Django does not know that requests are secure."""
    try:
        proxied = conf.current().trusted_proxies or conf.current().trust_unix
    except ImproperlyConfigured:
        return []  # E001 reports it.
    knows = django_settings.SECURE_PROXY_SSL_HEADER or django_settings.CSRF_TRUSTED_ORIGINS
    if not proxied or knows:
        return []
    return [
        checks.Warning(
            "TRUSTED_PROXIES is set, but neither SECURE_PROXY_SSL_HEADER nor "
            "CSRF_TRUSTED_ORIGINS. If the proxy ends TLS, Django takes requests for plain http "
            "and refuses forms, the admin's sign-in included (403, CSRF).",
            hint='Set SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if the proxy '
            'always sets this header, and CSRF_TRUSTED_ORIGINS = ["https://your-host"].',
            id="apiguard.W015",
        )
    ]


def check_corsheaders(**_: Any) -> list[checks.CheckMessage]:
    """W013 django-cors-headers is installed too."""
    apps = [str(app).partition(".")[0] for app in getattr(django_settings, "INSTALLED_APPS", ())]
    middleware = [str(path) for path in getattr(django_settings, "MIDDLEWARE", ())]
    found = "corsheaders" in apps or any(path.startswith("corsheaders.") for path in middleware)
    if not found:
        return []
    return [
        checks.Warning(
            "django-cors-headers is installed too. On routes with a CORS policy apiguard "
            "decides alone and its headers are removed; on all others it goes on deciding.",
            hint="When every route has moved over (manage.py apiguard import-corsheaders), "
            "remove 'corsheaders' from INSTALLED_APPS and MIDDLEWARE.",
            id="apiguard.W013",
        )
    ]


def check_policy(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """W014 a row of policy has a problem; only where Django is asked to look at databases.

    No error: ``migrate`` runs these checks, and must not be stopped by a row.
    """
    if write_alias() not in (databases or ()):
        return []
    try:
        if not load.tables_exist():
            return []
        problems = compile_rows(load.rows(load.state())[1]).problems
    except (DatabaseError, load.PolicyMoved, ImproperlyConfigured):
        return []  # Columns that the next migration brings, nobody there to ask, or E001.
    return [
        checks.Warning(str(problem), hint=problem.error.hint or None, id="apiguard.W014")
        for problem in problems[:MOST_PROBLEMS]
    ]


def check_sqlite(**_: Any) -> list[checks.CheckMessage]:
    """W003 SQLite that locks readers and writers out."""
    options = django_settings.DATABASES.get(write_alias(), {})
    if not str(options.get("ENGINE", "")).endswith(".sqlite3"):
        return []
    given = options.get("OPTIONS", {})
    immediate = str(given.get("transaction_mode", "")).upper() == "IMMEDIATE"
    wal = "wal" in str(given.get("init_command", "")).lower()
    if immediate and wal:
        return []
    return [
        checks.Warning(
            "Policy is kept in SQLite without WAL and IMMEDIATE transactions: under load "
            "writers fail with 'database is locked'.",
            hint='OPTIONS = {"transaction_mode": "IMMEDIATE", '
            '"init_command": "PRAGMA journal_mode=WAL;"}',
            id="apiguard.W003",
        )
    ]


def check_counter(**_: Any) -> list[checks.CheckMessage]:
    """W004 a shared pool, W005 timeouts, W007 a shared database, W008 not django-redis."""
    name = _counter_alias()
    if name is None:
        return []
    alias = django_settings.CACHES[name]
    if not _is_django_redis(alias):
        return [
            checks.Warning(
                f"Limits are counted in the cache {name!r}, which is not one of django-redis: "
                "there is no Redis to count in.",
                hint=f"CACHES[{name!r}]['BACKEND'] = 'django_redis.cache.RedisCache'",
                id="apiguard.W008",
            )
        ]
    return [*_shared_pool(name, alias), *_timeouts(name, alias), *_shared_database(name, alias)]


def _counter_alias() -> str | None:
    try:
        name = conf.current().counter
    except ImproperlyConfigured:
        return None  # E001 has said it.
    return None if name == "memory" or "://" in name else name


def _is_django_redis(alias: Mapping[str, Any]) -> bool:
    try:
        backend = import_string(str(alias.get("BACKEND")))
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, RedisCache)


def _shared_pool(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    for other, cache in _other_caches(name):
        if _is_django_redis(cache) and set(_urls(alias)) & set(_urls(cache)):
            yield checks.Warning(
                f"The caches {name!r} and {other!r} have the same URL. django-redis keeps one "
                "pool of connections per URL, whatever the options say: the timeouts of "
                "whichever is used first hold for both.",
                hint=f"Give {name!r} a database number of its own in LOCATION.",
                id="apiguard.W004",
            )


def _timeouts(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    given = _connection(alias, next(iter(_urls(alias)), ""))
    wrong = [
        option
        for option in TIMEOUTS
        if not isinstance(seconds := given.get(option.lower()), int | float)
        or not 0 < seconds <= LONGEST_TIMEOUT
    ]
    if wrong:
        yield checks.Warning(
            f"The cache {name!r} has no {' and no '.join(wrong)} of {LONGEST_TIMEOUT} s or "
            "less: requests wait for a Redis that hangs.",
            hint=f'CACHES[{name!r}]["OPTIONS"] = '
            '{"SOCKET_TIMEOUT": 0.05, "SOCKET_CONNECT_TIMEOUT": 0.05}',
            id="apiguard.W005",
        )


def _shared_database(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    mine = _databases(alias)
    others = [other for other, cache in _other_caches(name) if mine & _databases(cache)]
    if name == "default":
        others.insert(0, name)  # What every app of the project writes to, and may clear.
    for other in others:
        yield checks.Warning(
            f"Limits are counted in the same Redis database that the cache {other!r} uses: "
            "clearing that cache forgets what was counted.",
            hint="Give the counter an alias and a database number of its own, "
            "such as redis://127.0.0.1:6379/1.",
            id="apiguard.W007",
        )


def _other_caches(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((other, cache) for other, cache in django_settings.CACHES.items() if other != name)


def _urls(cache: Mapping[str, Any]) -> list[str]:
    """The servers of a cache, in the order in which they are given."""
    location = cache.get("LOCATION") or ""
    given = location.split(",") if isinstance(location, str) else location
    return [str(url).strip() for url in given if str(url).strip()]


def _connection(cache: Mapping[str, Any], url: str) -> dict[str, Any]:
    """How the client connects; a later source wins, as in redis-py."""
    options = cache.get("OPTIONS") or {}
    given = {name.lower(): options.get(name) for name in TIMEOUTS}
    given |= {"db": options.get("db"), **(options.get("CONNECTION_POOL_KWARGS") or {})}
    try:
        return given | dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        return given


def _databases(cache: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Host or socket, port and number of every Redis database of a cache."""
    found = set()
    for url in _urls(cache):
        if url.startswith(("redis://", "rediss://", "unix://")):
            given = _connection(cache, url)
            host = given.get("path") or _host(given.get("host") or "localhost")
            found.add((host, str(given.get("port") or 6379), str(given.get("db") or 0)))
    return found


def _host(name: str) -> str:
    name = name.lower().rstrip(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return "localhost" if address.is_loopback else str(address)


def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    """W006 counts in memory, W010 off, W011 no pepper, W012 never looks; ``--deploy`` only."""
    try:
        settings = conf.current()
    except ImproperlyConfigured:
        return []  # E001 has said it.
    messages: list[checks.CheckMessage] = []
    if settings.counter == "memory" and not django_settings.DEBUG:
        messages.append(
            checks.Warning(
                "Limits are counted in the memory of each process: N workers admit up to N "
                "times the amount, and forget it when they restart.",
                hint="Add a django-redis cache named 'apiguard' to CACHES.",
                id="apiguard.W006",
            )
        )
    if not settings.enabled:
        messages.append(
            checks.Warning(
                "APIGUARD['ENABLED'] is False: nothing is guarded.",
                hint="Remove it from the settings that are deployed.",
                id="apiguard.W010",
            )
        )
    if not settings.key_peppers:
        messages.append(
            checks.Warning(
                "APIGUARD['KEY_PEPPERS'] is empty: whoever can write to the database can "
                "make API keys.",
                hint='Set KEY_PEPPERS = {"2026": "<32 random bytes or more>"}.',
                id="apiguard.W011",
            )
        )
    if settings.policy_max_age is None:
        messages.append(
            checks.Warning(
                "APIGUARD['POLICY_MAX_AGE'] is None: a process that changes no policy itself "
                "never reads any, and guards nothing.",
                hint="Keep None for tests; write a number of seconds where requests are served.",
                id="apiguard.W012",
            )
        )
    return messages


def register_all() -> None:
    """Called once, when the apps are ready."""
    checks.register(check_settings, "apiguard")
    checks.register(check_middleware, "apiguard")
    checks.register(check_forms_behind_tls, "apiguard")
    checks.register(check_corsheaders, "apiguard")
    checks.register(check_policy, "apiguard", checks.Tags.database)
    checks.register(check_sqlite, "apiguard")
    checks.register(check_counter, "apiguard")
    checks.register(check_deployment, "apiguard", checks.Tags.security, deploy=True)
