"""``apiguard refusals``, ``explain --request-id`` and ``forget``."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apiguard.models import ApiKey, HourlyCount, Limit, Refusal, Route, ShadowCount
from tests.refused import refuse


@pytest.fixture
def orders(acme):
    Limit.objects.create(tier=acme.tier, name="per-minute", amount=100, period=60)
    return Route.objects.create(
        name="orders",
        path_prefix="/orders/",
        access="credentials",
        required_scopes=["orders:write"],
    )


@pytest.fixture
def key(acme):
    return ApiKey.objects.issue(acme, "production", ("orders:read",))[0]


@pytest.fixture
def refusal(acme, orders, key):
    return refuse(
        path="/orders/7",
        route_pk=orders.pk,
        route_name="orders",
        row_model="route",
        row_pk=str(orders.pk),
        row_name="orders",
        client_pk=acme.pk,
        client_slug="acme",
        key_id=key.key_id,
        principal=f"client:{acme.pk}",
        is_identified=True,
    )


def test_the_call_at_three_in_the_morning_by_command_line(run, refusal):
    listed = run("refusals", "--client", "acme", "--since", "60")
    assert "11111111-quoted" in listed.out
    assert "needs orders:write; the key has orders:read" in listed.out
    said = run("explain", "--request-id", "11111111")
    assert said.status == 1
    assert "why: needs orders:write; the key has orders:read" in said.out
    assert "decided by: route orders" in said.out
    assert said.out.count("hat to do: Give the key the scope, in the admin.") == 2
    assert "The guard answers 403 itself (scope_missing)" in said.out


def test_the_same_as_json_names_the_row_and_what_is_reported_now(run, refusal, orders):
    (listed,) = run("refusals", "--json").json
    assert listed["row"] == {"model": "route", "pk": str(orders.pk), "name": "orders"}
    orders.required_scopes = []
    orders.save()
    said = run("explain", "--request-id", "11111111-quoted", "--json")
    assert said.status == 0
    assert said.json["refusal"]["request_id"] == "11111111-quoted"
    assert said.json["now"]["refused"] is False
    assert said.json["notes"] == []


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["a", "b"]),
        (("--client", "acme"), ["a"]),
        (("--route", "orders"), ["a"]),
        (("--since", "10"), ["b"]),
    ],
)
def test_refusals_are_narrowed(run, orders, acme, arguments, found):
    an_hour_ago = timezone.now() - timedelta(hours=1)
    refuse(request_id="a", client_slug="acme", route_name="orders", at=an_hour_ago)
    refuse(request_id="b")
    refuse(request_id="c", at=timezone.now() - timedelta(days=2))
    listed = run("refusals", *arguments, "--json").json
    assert sorted(each["request_id"] for each in listed) == found


def test_refusals_that_are_not_kept_are_counted_and_shown(run):
    HourlyCount.objects.add(timezone.now(), 1, "no_credential", True, 90_000, unkept=89_980)
    said = run("refusals")
    assert "89,980 more were refused and counted, but not kept as rows." in said.err


def test_an_unknown_client_is_suggested(run, acme):
    said = run("refusals", "--client", "acne")
    assert (said.status, "Did you mean 'acme'?" in said.err) == (2, True)


def test_an_id_that_is_not_found_says_why_that_may_be(run, db):
    assert "20 refused requests" not in run("explain", "--request-id", "nobody-knows").err
    HourlyCount.objects.add(timezone.now(), 1, "no_credential", True, 90_000, unkept=89_980)
    said = run("explain", "--request-id", "nobody-knows")
    assert said.status == 1
    for why in ("was not refused", "three seconds", "20 refused requests a second", "X-Request-ID"):
        assert why in said.err


def test_a_part_that_fits_several_names_them(run, db):
    refuse(request_id="same-1")
    refuse(request_id="same-2")
    said = run("explain", "--request-id", "same")
    assert said.status == 2
    assert "same-2, same-1" in said.err


def test_a_token_that_was_lost_is_noted(run, orders):
    refuse(outcome="token_expired", status=401)
    assert (
        "the credential that was sent is not kept"
        in run("explain", "--request-id", "11111111-quoted").out
    )


@pytest.mark.parametrize(
    "arguments", [("explain",), ("explain", "GET"), ("explain", "GET", "/", "--request-id", "x")]
)
def test_explain_wants_a_request_or_an_id(run, arguments):
    assert run(*arguments).status == 2


def everything_stored():
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("apiguard_") and "policy" not in table:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
                yield from map(str, cursor.fetchall())


@pytest.mark.parametrize(
    ("principal", "marks"),
    [
        ("jwt:1:alice", ["jwt:1:alice"]),
        ("user:7", ["user:7"]),
        ("ip:198.51.100.7", ["198.51.100.7"]),
        ("ip:2001:db8:0:1::9", ["2001:db8:0:1"]),
        ("ip:2001:db8:0:1::/64", ["2001:db8:0:1"]),
    ],
)
def test_forget_leaves_no_trace(run, db, principal, marks):
    now = timezone.now()
    for name, address in [
        ("jwt:1:alice", "192.0.2.9"),
        ("user:7", "192.0.2.9"),
        ("ip:198.51.100.7", "198.51.100.7"),
        ("client:1", "198.51.100.7"),
        ("ip:2001:db8:0:1::/64", "2001:db8:0:1::1"),
        ("client:1", "2001:db8:0:1::2"),
        ("jwt:1:bob", "192.0.2.9"),
    ]:
        refuse(principal=name, address=address)
        ShadowCount.objects.add(now, 1, name, 1)
    said = run("forget", principal)
    assert said.status == 0
    left = "\n".join(everything_stored())
    assert not any(mark in left for mark in marks)
    assert "jwt:1:bob" in left


def test_forgetting_a_client_erases_what_its_refused_keys_left(run, acme, refusal):
    refuse(client_pk=acme.pk, client_slug="acme", outcome="key_expired")
    other = refuse(client_pk=acme.pk + 1, client_slug="other")
    erased = run("forget", f"client:{acme.pk}", "--json").json
    assert erased == {"shadow counts": 0, "refused requests": 2, "usage": 0}
    assert list(Refusal.objects.all()) == [other]


@pytest.mark.parametrize("text", ["acme", "client:acme", "jwt:alice", "ip:", "", "user:"])
def test_what_names_no_caller_is_refused(run, db, text):
    said = run("forget", text)
    assert (said.status, "names no caller" in said.err) == (2, True)
