"""``apiguard counters`` and ``unlock``: reading what is used, and counting from zero."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from apiguard import conf
from apiguard.counters.base import LimitCheck
from apiguard.models import Limit, LimitOverride, PolicyChange, Route
from apiguard.policy.holder import holder
from apiguard.request import limit_use
from apiguard.request.effects import limit_counter
from apiguard.request.failed_credentials import failures
from apiguard.testing import reset_counters


@pytest.fixture
def in_redis(redis_url):
    """Limits are counted in a real Redis."""
    caches = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "apiguard": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url},
    }
    with override_settings(CACHES=caches):
        reset_counters()
        yield
    reset_counters()


@pytest.fixture
def limits(acme):
    minute = Limit.objects.create(tier=acme.tier, name="per-minute", amount=100, period=60)
    day = Limit.objects.create(
        tier=acme.tier, name="per-day", kind="quota", amount=500, calendar="day", mode="shadow"
    )
    until = timezone.now() + timedelta(days=1)
    LimitOverride.objects.create(client=acme, limit=minute, amount=300, until=until)
    LimitOverride.objects.create(
        client=acme, limit=day, amount=9, until=timezone.now() - timedelta(days=1)
    )
    return minute, day


def use(principal, units):
    snapshot = holder.snapshot()
    (tier,) = snapshot.tiers.values()
    limit_counter(conf.current()).check(snapshot, LimitCheck(principal, tier.all_limits, units))


def used(run):
    return {
        row["limit"]: row["used"]
        for row in run("counters", "show", "acme", "--json").json["limits"]
    }


def test_what_is_used_is_shown_beside_the_amounts_of_this_client_now(run, in_redis, limits, acme):
    use(f"client:{acme.pk}", 7)
    assert run("counters", "show", "acme").out.splitlines() == [
        "LIMIT             USED  LEFT  RATE",
        "per-minute        7     293   300 per minute",
        "per-day (shadow)  7     493   500 per calendar day",
    ]
    assert used(run) == {"per-minute": 7, "per-day": 7}


@pytest.mark.parametrize(
    ("arguments", "after", "names"),
    [
        ((), {"per-minute": 0, "per-day": 0}, ["per-minute", "per-day"]),
        (("--limit", "per-day"), {"per-minute": 7, "per-day": 0}, ["per-day"]),
    ],
    ids=["all", "one"],
)
def test_limits_are_counted_from_zero_and_the_history_knows(
    run, in_redis, limits, acme, arguments, after, names
):
    use(f"client:{acme.pk}", 7)
    said = run("counters", "reset", "acme", *arguments)
    assert said.out == f"Counted from zero for acme: {', '.join(names)}.\n"
    assert used(run) == after
    change = PolicyChange.objects.first()
    assert (change.action, change.object_name, change.after) == ("reset", "Acme", {"limits": names})
    assert change.actor_name == "apiguard counters reset (command line)"


def test_a_limit_that_counts_each_route_by_itself_is_shown_and_reset_for_each(run, in_redis, acme):
    route = Route.objects.create(name="orders", path_prefix="/orders/", access="public")
    each = {"amount": 9, "period": 60, "per": "caller-route", "unit": "tokens"}
    Limit.objects.create(tier=acme.tier, name="each", **each)
    snapshot = holder.snapshot()
    counted = limit_use.on_each_route(snapshot.tiers[acme.tier_id], snapshot)
    assert [limit.route_pk for limit in counted] == [route.pk]
    limit_counter(conf.current()).check(snapshot, LimitCheck(f"client:{acme.pk}", counted, 5))
    assert run("counters", "show", "acme").out.splitlines() == [
        "LIMIT           USED  LEFT  RATE",
        "each on orders  5     4     9 tokens per minute",
    ]
    run("counters", "reset", "acme")
    assert used(run) == {"each": 0}


def test_a_limit_that_the_client_does_not_have_is_not_reset(run, in_redis, limits):
    said = run("counters", "reset", "acme", "--limit", "per-hour")
    assert (said.status, PolicyChange.objects.filter(action="reset").exists()) == (1, False)
    assert "apiguard counters show acme" in said.err


def test_counts_in_memory_are_out_of_reach_which_is_reported(run, limits):
    for command in ("show", "reset"):
        said = run("counters", command, "acme")
        assert (said.status, "memory of each process" in said.err) == (2, True)


def test_a_client_without_a_tier_is_not_limited(run, acme):
    acme.tier = None
    acme.save()
    assert run("counters", "show", "acme").out == "acme is not limited.\n"


@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        # Nothing listens there.
        "apiguard": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        },
    }
)
@pytest.mark.parametrize("command", [("counters", "show"), ("counters", "reset")])
def test_a_redis_that_is_away_is_reported_and_nothing_is_recorded(run, limits, command):
    reset_counters()
    said = run(*command, "acme")
    assert (said.status, "Redis: ConnectionError" in said.err) == (2, True)
    assert not PolicyChange.objects.filter(action="reset").exists()
    reset_counters()


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [("192.0.2.1", "ip:192.0.2.1"), ("2001:db8::7", "ip:2001:db8::/64")],
)
def test_an_unlocked_address_counts_from_zero(run, in_redis, limits, address, counted_as):
    use(counted_as, 50)
    count_failures(counted_as, 60)
    assert failed(counted_as) is not None
    assert run("unlock", address).status == 0
    assert failed(counted_as) is None
    snapshot = holder.snapshot()
    (tier,) = snapshot.tiers.values()
    used = limit_use.read_use(conf.current(), counted_as, tier.all_limits)
    assert {one.used for one in used.values()} == {0}
    assert PolicyChange.objects.first().object_name == counted_as


def test_another_address_stays_locked(run, in_redis, limits):
    count_failures("ip:192.0.2.2", 60)
    run("unlock", "192.0.2.1")
    assert failed("ip:192.0.2.2") is not None


def test_failures_after_an_unlock_count(run, in_redis, limits):
    run("unlock", "192.0.2.1")
    count_failures("ip:192.0.2.1", 60)
    assert failed("ip:192.0.2.1") is not None


def count_failures(address, times):
    counted = failures(conf.current(), holder.snapshot().unlocked)
    for _failure in range(times):
        counted.count(address)


def failed(address):
    """Seconds for which a worker with the policy in force answers 429."""
    return failures(conf.current(), holder.snapshot().unlocked).wait(address)


def test_what_is_no_address_is_used_wrongly(run):
    assert "is no IP address" in run("unlock", "example.com").err
