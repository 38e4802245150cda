"""The overview names who runs what, from a real registry, and never waits for one that hangs."""

from __future__ import annotations

import pytest
from django.test import override_settings

from apiguard import conf
from apiguard.models import PolicyState, Tier
from apiguard.policy.status import PolicyStatus
from apiguard.telemetry.heartbeats import Heartbeat, sender
from apiguard.telemetry.process import process_name
from apiguard.telemetry.worker_registry import registry_for
from tests.servers import free_port
from tests.stores import redis_server

from ..pages import url

LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
SECRET = "s3cr3t-of-redis"


@pytest.fixture
def counted_at():
    """Let the counter's cache be at a URL."""
    changed = []

    def use(location, **options):
        cache = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": location,
            "OPTIONS": options,
        }
        caches = {"default": LOCAL, "apiguard": cache}
        settings = override_settings(CACHES=caches, APIGUARD={"POLICY_MAX_AGE": None})
        settings.enable()
        changed.append(settings)

    yield use
    for settings in changed:
        settings.disable()


@pytest.fixture
def registry(counted_at, redis_url, route):
    counted_at(redis_url, SOCKET_TIMEOUT=20, SOCKET_CONNECT_TIMEOUT=20)
    return registry_for(conf.current())


@pytest.fixture
def good():
    state = PolicyState.objects.get()
    return Heartbeat(state.revision, state.stamp, 0.2, 0.6)


@pytest.fixture(autouse=True)
def _holding(monkeypatch):
    """This process holds what is in the database; a test's transaction hides that from it."""

    def status():
        state = PolicyState.objects.first() or PolicyState()
        return PolicyStatus(state.revision, state.stamp)

    monkeypatch.setattr(sender, "_status", status)


def page_of(browser):
    response = browser.get(url("overview"))
    assert response.status_code == 200
    return response


def test_with_the_memory_counter_it_speaks_of_this_process_alone(admin_client, route):
    page = page_of(admin_client)
    revision = PolicyState.objects.get().revision
    assert page.context["workers"].summary == (
        "Limits are counted in each process's memory; other workers cannot be seen. "
        f"This worker is on revision {revision}."
    )


def test_it_says_how_many_run_what_is_in_force(admin_client, registry, good):
    for number in range(3):
        registry.write(f"web-{number}:7", good.text())
    page = page_of(admin_client)
    seen = page.context["workers"]
    assert seen.summary == f"4 of 4 workers on revision {good.revision}, slowest 0.6 s."
    assert "apiguard-good" in seen.mark
    assert (seen.wrong, seen.left_out) == ([], 0)
    assert {shown.process for shown in seen.all} == {
        *(f"web-{number}:7" for number in range(3)),
        process_name(),
    }


def test_it_names_those_that_lag_or_fail_first_with_what_to_do(admin_client, registry, good):
    registry.write("web-1:7", good.text())
    registry.write(
        "web-2:7", Heartbeat(1, "old", 3.0, failing=60.0, error="OperationalError: <x>").text()
    )
    registry.write("web-3:7", Heartbeat(good.revision, "another", 0.2).text())
    PolicyState.objects.update(changed_at="2020-01-01T00:00Z")
    page = page_of(admin_client)
    seen = page.context["workers"]
    assert [shown.what.split(" ")[0] for shown in seen.wrong] == ["web-2:7", "web-3:7"]
    assert "2 lag" in seen.mark
    text = page.content.decode()
    assert "its database check fails since" in text
    assert "OperationalError: &lt;x&gt;" in text
    assert "See that its machine reaches the database." in text
    assert "See that it uses this database" in text


def test_it_names_who_finds_other_mistakes_in_the_same_policy(admin_client, registry, good):
    registry.write("web-2:7", Heartbeat(good.revision, good.stamp, 0.2, problems=3).text())
    page = page_of(admin_client)
    assert "web-2:7 finds more mistakes (3)" in page.content.decode()
    assert "not alike" in page.context["workers"].mark


def test_it_lists_no_more_workers_than_a_browser_enjoys(admin_client, registry, good, monkeypatch):
    monkeypatch.setattr("apiguard.admin.overview.workers.WORKERS_SHOWN", 2)
    for number in range(3):
        registry.write(f"web-{number}:7", good.text())
    page = page_of(admin_client)
    assert (len(page.context["workers"].all), page.context["workers"].left_out) == (2, 2)
    assert "2 more are not listed here" in page.content.decode()


def test_a_store_that_is_away_is_reported_without_its_password(admin_client, counted_at, route):
    counted_at(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    page = page_of(admin_client)
    assert "does not answer (ConnectionError); other workers cannot be seen." in (
        page.context["workers"].summary
    )
    assert "not seen" in page.context["workers"].mark
    assert SECRET not in page.content.decode()


@pytest.mark.slow
def test_a_store_that_hangs_without_any_timeout_does_not_take_the_desk_along(
    admin_client, counted_at, route
):
    with redis_server() as store:
        counted_at(f"redis://127.0.0.1:{store.port}/0")
        store.process.pause()
        try:
            for _ in range(3):
                summary = page_of(admin_client).context["workers"].summary
                assert "does not answer (Timeout)" in summary
        finally:
            store.process.resume()


def test_it_works_without_script_and_without_inline_style(admin_client, registry, good):
    registry.write("web-1:7", Heartbeat(1, "old", failing=60.0).text())
    page = page_of(admin_client).content.decode()
    section = page[page.index('aria-labelledby="apiguard-workers"') :]
    section = section[: section.index("</section>")]
    assert "<details" in section
    assert "<script" not in section
    assert "style=" not in section


def test_before_any_change_nobody_lags(admin_client, db):
    assert not Tier.objects.exists()
    assert page_of(admin_client).context["workers"].wrong == []
