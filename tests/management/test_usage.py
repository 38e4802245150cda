"""``apiguard usage``: who called what, for people and for scripts."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apiguard.models import ApiKey, Route
from apiguard.models.usage import LOST, NOBODY, OTHERS, UsageKey, usage_rows


@pytest.fixture
def key(acme):
    route = Route.objects.create(name="orders", path_prefix="/orders/")
    key, _ = ApiKey.objects.issue(acme, "k")
    counts = {
        UsageKey(route.pk, acme.pk, key.pk, "admitted", True): 1_200,
        UsageKey(route.pk, acme.pk, key.pk, "limit_exceeded", True): 34,
        UsageKey(route.pk, OTHERS, OTHERS, "admitted", True): 5,
        UsageKey(route.pk + 1, NOBODY, NOBODY, "no_credential", False): 7,
        UsageKey(NOBODY, NOBODY, NOBODY, LOST, True): 9,
    }
    start = timezone.now().replace(minute=0, second=0, microsecond=0)
    list(usage_rows().add(start, False, counts))
    return key


def test_all_requests_are_listed_with_who_sent_them(run, key):
    said = run("usage")
    assert said.status == 0
    first, lost, _empty, head, *rows = said.out.splitlines()
    assert first.startswith("1,246 requests since ")
    assert first.endswith(": 34 refused, 7 would be.")
    assert lost.startswith("9 more were not recorded")
    assert head.split() == ["REQUESTS", "ROUTE", "CLIENT", "KEY", "OUTCOME", "LAST"]
    assert [" ".join(row.split()[:5]) for row in rows] == [
        f"1,200 orders acme {key.key_id} admitted",
        f"34 orders acme {key.key_id} limit",
        "7 (deleted) (none) - no",
        "5 orders (others) - admitted",
    ]


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        (("--client", "acme"), 1_234),
        (("--key", "KEY"), 1_234),
        (("--route", "orders"), 1_239),
        (("--route", "orders", "--days", "1"), 1_239),
    ],
)
def test_one_client_key_or_route_is_chosen(run, key, arguments, requests):
    answer = run(
        "usage", *(key.key_id if one == "KEY" else one for one in arguments), "--json"
    ).json
    assert answer["requests"] == requests == sum(row["requests"] for row in answer["rows"])
    assert answer["requests"] == sum(one["requests"] for one in answer["periods"])


def test_a_script_reads_every_number(run, key):
    answer = run("usage", "--json", "--days", "30").json
    assert (answer["refused"], answer["would_refuse"], answer["lost"]) == (34, 7, 9)
    assert len(answer["periods"]) == 30
    assert (
        answer["rows"][0].items()
        >= {
            "route": "orders",
            "caller": "client",
            "client": "acme",
            "key": key.key_id,
            "outcome": "admitted",
            "enforced": True,
            "requests": 1_200,
        }.items()
    )


@pytest.mark.parametrize("option", ["--client", "--key", "--route"])
def test_a_name_that_does_not_exist_is_used_wrongly(run, key, option):
    assert run("usage", option, "nobody").status == 2


def test_where_nothing_is_counted_the_command_says_so(run, settings):
    settings.APIGUARD = {**settings.APIGUARD, "USAGE_KEEP_DAYS": 0}
    assert "USAGE_KEEP_DAYS" in run("usage").err


def test_units_that_views_settled_stand_beside_the_requests(run, key):
    before = run("usage", "--json").json
    assert before["units"] == []
    route = Route.objects.get()
    used = UsageKey(route.pk, key.client_id, key.pk, "settled:tokens", True)
    list(
        usage_rows().add(
            timezone.now().replace(minute=0, second=0, microsecond=0), False, {used: 1_812}
        )
    )
    after = run("usage", "--json").json
    day = timezone.localdate().isoformat()
    assert after["units"] == [
        {
            "day": day,
            "route": "orders",
            "caller": "client",
            "client": "acme",
            "unit": "tokens",
            "amount": 1_812,
        }
    ]
    assert {**after, "units": []} == before
    assert f"{day} orders acme tokens 1,812" in " ".join(run("usage").out.split())
