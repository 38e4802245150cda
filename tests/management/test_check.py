from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from apiguard.management.commands import _check
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    Limit,
    PolicyState,
    Route,
    Tier,
)
from apiguard.policy import load

PEPPERED = {"KEY_PEPPERS": {"2026": "tests-only-pepper-" * 3}}
UNPEPPERED = {"KEY_PEPPERS": {}}

IN_MEMORY = "Workers: Limits are counted in each process's memory; other workers cannot be seen."


def test_an_empty_database_is_in_order(run):
    said = run("check")
    assert said.status == 0
    assert said.out.splitlines() == [
        "Counter: the memory of each process.",
        IN_MEMORY,
        "Revision 0: in order.",
    ]
    assert run("check", "--json").json == {
        "revision": 0,
        "problems": [],
        "warnings": [],
        "counter": {
            "where": "memory",
            "answers": None,
            "counts": None,
            "maxmemory_policy": None,
            "evicts": None,
            "problems": [],
            "outages": [],
            "faults": [],
        },
        "proxies": [],
        "workers": {
            "unseen": "memory",
            "revision": 0,
            "slowest": None,
            "problems": [],
            "workers": [],
        },
        "webhooks": [],
    }


def test_the_baseline_is_in_order(run, acme):
    run("baseline")
    run("key", "create", "acme", "--name", "ci")
    assert run("check").status == 0


@pytest.fixture
def slipped_in(db):
    """A row that no form would have saved."""
    policy = CorsPolicy(name="p")
    policy.save()
    origin = AllowedOrigin(policy=policy, pattern="https://example.com/")
    origin.save()
    return origin


def test_a_problem_names_its_row_its_value_its_reason_and_what_to_do(run, slipped_in):
    said = run("check")
    error = slipped_in.problems()[0]
    assert said.status == 1
    assert said.out.splitlines() == [
        "allowedorigin 'https://example.com/', pattern: 'https://example.com/'",
        f"    {error.reason}",
        f"    {error.hint}",
        "Counter: the memory of each process.",
        IN_MEMORY,
        f"Revision {PolicyState.objects.get().revision}: 1 problem.",
    ]
    assert "1 problem in the policy" in said.err


def test_a_problem_as_json(run, slipped_in):
    said = run("check", "--json")
    assert said.status == 1
    assert said.json["revision"] == PolicyState.objects.get().revision
    assert said.json["problems"] == [
        {
            "model": "allowedorigin",
            "pk": slipped_in.pk,
            "name": "https://example.com/",
            **slipped_in.problems()[0].as_dict(),
        }
    ]


def test_clients_and_keys_are_judged_too_however_many(run, acme, monkeypatch):
    monkeypatch.setattr(_check, "CHUNK", 2)
    rows = [Client(slug=f"c{n}", name=f"C{n}", allowed_networks=["10.0.0.1/8"]) for n in range(5)]
    Client.objects.bulk_create(rows)
    key, _text = ApiKey.objects.issue(acme, "ci")
    ApiKey.objects.filter(pk=key.pk).update(scopes=["a b"])
    problems = run("check", "--json").json["problems"]
    assert [(row["model"], row["name"], row["field"]) for row in problems] == [
        *(("client", f"C{n}", "allowed_networks") for n in range(5)),
        ("apikey", f"acme: ci ({key.key_id})", "scopes"),
    ]


def test_a_key_whose_pepper_is_gone_is_named(run, acme):
    with override_settings(APIGUARD=PEPPERED):
        key, _text = ApiKey.objects.issue(acme, "ci")
        assert run("check").status == 0
    with override_settings(APIGUARD=UNPEPPERED):
        said = run("check", "--json")
    assert said.status == 1
    (problem,) = said.json["problems"]
    assert (problem["name"], problem["field"], problem["value"]) == (
        f"acme: ci ({key.key_id})",
        "pepper_id",
        "2026",
    )


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda key: key.revoke("lost"), id="revoked"),
        pytest.param(
            lambda key: ApiKey.objects.filter(pk=key.pk).update(
                expires_at=timezone.now() - timedelta(days=1)
            ),
            id="expired",
        ),
    ],
)
def test_a_key_that_has_ended_needs_no_pepper(run, acme, end):
    with override_settings(APIGUARD=PEPPERED):
        end(ApiKey.objects.issue(acme, "ci")[0])
    with override_settings(APIGUARD=UNPEPPERED):
        assert run("check").status == 0


def test_a_key_that_was_made_without_a_pepper_needs_none(run, acme):
    with override_settings(APIGUARD=UNPEPPERED):
        ApiKey.objects.issue(acme, "ci")
    with override_settings(APIGUARD=PEPPERED):
        assert run("check").status == 0


def test_a_value_that_is_no_list_is_a_problem_and_no_crash(run, acme):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE apiguard_client SET allowed_networks = %s", ['{"a": 1}'])
    (problem,) = run("check", "--json").json["problems"]
    assert (problem["model"], problem["code"]) == ("client", "not_a_list")


def test_policy_that_never_stands_still_is_reported(run, monkeypatch):
    def moved(seen):
        raise load.PolicyMoved

    monkeypatch.setattr(load, "rows", moved)
    assert run("check").status == 1


@pytest.fixture
def dear(db):
    """A limit of a whole tier, and a route that costs more than it admits."""
    tier = Tier.objects.create(slug="free", name="Free")
    Limit.objects.create(tier=tier, name="per-minute", amount=5, period=60)
    Route.objects.create(name="export", path_prefix="/api/export", cost=10)
    return tier


@pytest.mark.parametrize(
    ("meet", "told"),
    [
        pytest.param(lambda tier: None, False, id="nobody is counted there"),
        pytest.param(
            lambda tier: Client.objects.create(slug="a", name="A", tier=tier), True, id="a client"
        ),
        pytest.param(
            lambda tier: Route.objects.update(anonymous_tier=tier), True, id="anonymous callers"
        ),
        pytest.param(
            lambda tier: Route.objects.update(user_tier=tier, access="application"),
            True,
            id="users of an application route",
        ),
        pytest.param(
            lambda tier: Route.objects.update(user_tier=tier), False, id="users where none are"
        ),
        pytest.param(
            lambda tier: Route.objects.update(anonymous_tier=tier, mode="off"), False, id="off"
        ),
        pytest.param(
            lambda tier: Route.objects.update(anonymous_tier=tier, cost=5), False, id="it fits"
        ),
    ],
)
def test_a_cost_that_a_whole_tier_never_admits_is_a_warning(run, dear, meet, told):
    meet(dear)
    said = run("check", "--json")
    assert said.status == 0
    assert [
        (row["model"], row["name"], row["code"], row["field"])
        for row in said.json["warnings"]
        if row["code"] != "route_off"
    ] == ([("limit", "Free: per-minute", "cost_above_amount", "amount")] if told else [])


def test_an_issuer_whose_tokens_name_their_tier_may_bring_any(run, dear, issuer):
    type(issuer).objects.update(tier_claim="plan")
    said = run("check")
    assert said.status == 0
    assert said.out.startswith("warning: limit 'Free: per-minute', amount: '5'\n")
    assert "costs 10, and this limit admits 5" in said.out


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({}, True, id="in force"),
        pytest.param({"mode": "observe"}, True, id="observing"),
        pytest.param({"mode": "off"}, False, id="off"),
    ],
)
def test_a_route_that_permits_more_than_django_takes_is_a_warning(run, fields, told):
    Route(name="r", path_prefix="/api/", max_body_bytes=10**8, **fields).save()
    said = run("check", "--json")
    assert (said.status, said.json["problems"]) == (0, [])
    codes = [row["code"] for row in said.json["warnings"] if row["code"] != "route_off"]
    assert codes == ["above_djangos_limit"] * told
