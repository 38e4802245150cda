"""``apiguard explain``: the same answer for people and programs, and no secret in either."""

from __future__ import annotations

import io
import sys

import pytest

from apiguard.models import ApiKey, Limit, Route


@pytest.fixture
def orders(acme):
    Limit.objects.create(tier=acme.tier, name="per-minute", amount=100, period=60)
    return Route.objects.create(
        name="orders",
        path_prefix="/orders/",
        access="credentials",
        required_scopes=["orders:write"],
        methods=["GET"],
    )


@pytest.fixture
def key(acme):
    return ApiKey.objects.issue(acme, "production", ("orders:read",))


@pytest.fixture
def _sent(key, monkeypatch):
    stdin = io.StringIO(f"{key[1]}\n")
    monkeypatch.setattr(sys, "stdin", stdin)


def deciding(said):
    (step,) = [step for step in said.json["steps"] if step["result"] == "refused"]
    return step


@pytest.mark.usefixtures("_sent")
def test_a_refusal_names_stage_reason_and_row_and_ends_with_status_1(run, orders, key):
    said = run("explain", "GET", "/orders/7?secret=x", "--credential", "-", "--json")
    step = deciding(said)
    assert said.status == 1
    assert said.json["status"] == 403
    assert (step["stage"], step["outcome"]) == ("access", "scope_missing")
    assert step["reason"] == "needs orders:write; the key has orders:read"
    assert step["row"] == {"model": "route", "pk": orders.pk, "name": "orders"}
    assert [one["remaining"] for one in said.json["limits"]] == [99]
    assert key[1] not in said.out + said.err
    assert "secret" not in said.out + said.err


def test_a_client_is_explained_without_its_secret(run, orders, key):
    orders.required_scopes = ["orders:read"]
    orders.save()
    said = run("explain", "GET", "/orders/7", "--client", "acme")
    assert said.status == 0
    assert f"key {key[0].key_id} (production) of client acme is valid" in said.out
    assert "The view answers" in said.out
    assert "Limit per-minute: 99 left of 100 per minute." in said.out
    assert "Not known: What the view answers" in said.out
    # Nothing was counted by the one before.
    again = run("explain", "GET", "/orders/7", "--client", "acme")
    assert "Limit per-minute: 99 left of 100 per minute." in again.out


def test_a_client_without_a_key_is_explained_without_scopes(run, acme, orders):
    step = deciding(run("explain", "GET", "/orders/7", "--client", "acme", "--json"))
    assert step["reason"] == "needs orders:write; the key has no scope"


def test_a_client_whose_keys_have_all_ended_is_refused_as_it_would_be(run, orders, key):
    key[0].revoke("lost")
    step = deciding(run("explain", "GET", "/orders/7", "--client", "acme", "--json"))
    assert (step["outcome"], step["row"]["pk"]) == ("key_revoked", key[0].pk)
    assert step["reason"] == f"key {key[0].key_id} (production) is revoked"


def test_a_path_that_no_route_guards_is_admitted(run, orders):
    said = run("explain", "GET", "/elsewhere")
    assert said.status == 0
    assert "no route guards this path" in said.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("GET", "orders/"), "begins with a slash"),
        (("G T", "/orders/"), "no HTTP method"),
        (("GET", "/orders/", "--address", "nowhere"), "no IP address"),
        (("GET", "https://[/"), "whole URL"),
        (("GET", "/orders/", "--client", "acne"), "Did you mean 'acme'?"),
        (("GET", "/orders/", "--credential", "ag_live_x"), "standard input"),
        (("GET", "/orders/", "--client", "acme", "--credential", "-"), "not allowed with"),
    ],
)
def test_what_is_no_request_ends_with_status_2(run, acme, arguments, why):
    said = run("explain", *arguments)
    assert said.status == 2 or "Error" in said.err
    assert why in said.err
