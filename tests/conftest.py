"""What every test may ask for: real stores, and the reference site set up in them.

``TEST_REDIS_URL`` and ``TEST_DATABASE_URL`` name servers that exist already;
the Redis database named there is emptied before each test that uses it. With
``CI`` set, a test that is skipped has failed.

Under pytest-xdist (``-n``) a file stays in one process, so that its servers are
started once, and files that start servers come first: they mostly wait, and
the others fill what is left of the processors. Nothing is shared by processes
but servers that were named; of a Redis each takes a database of its own, from
the one that is named upwards.
"""

from __future__ import annotations

import gc
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from pytest_django.live_server_helper import LiveServer
from redis.connection import parse_url
from selenium.webdriver import Chrome

from apiguard import test_run
from apiguard.counters.factory import forget_counters
from tests.browser import chromium, running_browser
from tests.demo_site import DemoSite, copy_of, make_demo_site, make_template
from tests.examples import examples
from tests.scripted import migrate
from tests.stored_text import every_row_checked
from tests.stores import (
    postgres_database,
    postgres_server,
    redis_server,
    servers_on_this_machine,
)

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# The tests of apiguard itself need its threads, its writes and its counters, also where
# they override the settings that say so.
test_run.is_detected = lambda: False

# A slow machine is not a bug: no test asserts on a clock, Hypothesis included.
settings.register_profile(
    "here",
    max_examples=examples(50),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("here")


def _not_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped in CI. {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _not_skipped(report)
    if report.when == "call":
        item.called = report  # type: ignore[attr-defined] # Fixtures look at how the test ended.
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _not_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without garbage collection, which takes a third of the time and finds nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """How many processes ``-n auto`` means: two more than processors, for much of it is waiting."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min((os.cpu_count() or 1) + 2, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files, in the order of ``pytest_collection_modifyitems``."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _nothing_is_known_to_fail() -> None:
    """What another test of this process made fail is tried again at once, whatever ran between."""
    if lookups := sys.modules.get("apiguard.policy.lookups"):
        refresh = sys.modules["apiguard.policy.refresh"]
        lookups.keys.breaker.close()
        lookups.users.breaker.close()
        lookups.holder._state = refresh.last_read(lookups.holder._state)


@pytest.fixture
def cors_table(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """``cors_table(driver)``: count this test as a row of the table of CORS."""
    return lambda driver: request.node.user_properties.append(("cors_table", driver))


def pytest_report_header() -> list[str]:
    """Which servers a figure or a failure of this run belongs to."""
    return servers_on_this_machine()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many rows of the table of CORS each of its drivers has seen, and how they ended."""
    seen: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            driver = dict(report.user_properties).get("cors_table")
            if driver is not None and report.when == "call":
                seen.setdefault(str(driver), Counter())[outcome] += 1
    if seen:
        terminalreporter.section("the table of CORS")
    for driver, counts in sorted(seen.items()):
        terminalreporter.line(
            f"{driver}: {counts.total()} rows, {counts['passed']} passed, {counts['failed']} failed"
        )
    _show_existing_projects(terminalreporter)


def _show_existing_projects(terminalreporter: Any) -> None:
    """Which suites of existing projects ran in which mode, and how many of their tests failed."""
    rows = [
        dict(report.user_properties)["existing_projects"]
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if report.when == "call" and "existing_projects" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("existing projects")
        terminalreporter.line(f"{'project':<14} {'mode':<10} {'tests':>5} {'failed':>6}")
    for name, mode, ran, failed in sorted(rows):
        terminalreporter.line(f"{name:<14} {mode:<10} {ran:>5} {failed:>6}")


def own_database(url: str, worker: str) -> str:
    """The Redis database of a worker of pytest-xdist; "gw0" has the one that is named."""
    number = parse_url(url).get("db", 0) + int(worker.removeprefix("gw"))
    server, _, query = url.partition("?")
    options = [option for option in query.split("&") if option and not option.startswith("db=")]
    return f"{server}?{'&'.join([*options, f'db={number}'])}"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis, empty at the start of every test that asks for it."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield own_database(given, os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
        return
    with redis_server() as server:
        yield f"{server.base_url}/0"


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    if "redis_url" in request.fixturenames:
        forget_counters()  # No lease of a test before is given back to the counts of this one.
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            client.flushdb()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL: the URL of a database from which others can be created."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    if given.startswith(("postgres:", "postgresql:")):
        yield given
        return
    with postgres_server() as server:
        yield server.base_url


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """``with migrated_postgres() as url``: a new database with all tables; migrations run once."""
    template = f"apiguard_{uuid.uuid4().hex[:12]}"
    with postgres_database(postgres_url, template) as url:
        migrate(url)
        yield lambda: postgres_database(
            postgres_url, f"apiguard_{uuid.uuid4().hex[:12]}", template=template
        )


@pytest.fixture
def migrated_postgres_url(
    migrated_postgres: Callable[[], AbstractContextManager[str]],
) -> Iterator[str]:
    """A new PostgreSQL database with all tables for one test."""
    with migrated_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def demo_on_postgres(
    postgres_url: str,
) -> Iterator[Callable[[], AbstractContextManager[DemoSite]]]:
    """``with demo_on_postgres() as site``: the demonstration on a new database; set up once."""
    template = f"apiguard_{uuid.uuid4().hex[:12]}"
    with postgres_database(postgres_url, template) as url:
        demo = make_demo_site(url)

        @contextmanager
        def copied() -> Iterator[DemoSite]:
            name = f"apiguard_{uuid.uuid4().hex[:12]}"
            with postgres_database(postgres_url, name, template=template) as own:
                yield demo.with_env(DATABASE_URL=own)

        yield copied


@pytest.fixture(scope="session")
def demo_template(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoSite, Path]:
    """The demonstration, set up once; tests get copies."""
    return make_template(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo_site_in_memory(demo_template: tuple[DemoSite, Path], tmp_path: Path) -> DemoSite:
    """The demonstration on a database of this test's own; counters in each process's memory."""
    return copy_of(demo_template, tmp_path)


@pytest.fixture
def demo_site(demo_site_in_memory: DemoSite, redis_url: str) -> DemoSite:
    """The demonstration on a database of this test's own; counters in Redis."""
    return demo_site_in_memory.with_env(REDIS_URL=redis_url)


@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_stored(request: pytest.FixtureRequest) -> Iterator[None]:
    """No row of a refused request in the whole run may hold a secret or a query."""
    if not request.config.pluginmanager.hasplugin("django"):
        yield
        return
    with every_row_checked() as found:
        yield
    assert found == []


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: LiveServer) -> LiveServer:
    """A server on the test database, which must be chosen before.

    Of a database that is still in memory the server would share this thread's connection.
    """
    return live_server


@pytest.fixture(scope="session")
def _browser() -> Iterator[Chrome]:
    binary = chromium()
    if binary is None:
        pytest.skip("Chromium and its driver are not installed.")
    with running_browser(binary) as driver:
        yield driver


@pytest.fixture
def browser(_browser: Chrome) -> Chrome:
    """Headless Chromium, signed in nowhere, with an empty console."""
    _browser.get("about:blank")
    _browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    _browser.get_log("browser")  # type: ignore[no-untyped-call]
    return _browser
