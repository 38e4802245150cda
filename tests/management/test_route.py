"""Routes from the command line."""

from __future__ import annotations

import pytest

from apiguard.models import PolicyChange, PolicyState, Route


def test_a_new_route_only_observes(run):
    done = run("route", "set", "/api", "--access", "credentials", "--json")
    route = Route.objects.get()
    assert done.status == 0
    assert (route.name, route.path_prefix) == ("/api/", "/api/")
    assert (done.json["created"], done.json["mode"], done.json["access"]) == (
        *(True, "observe"),
        "credentials",
    )


def test_every_option_changes_its_field(run):
    run("baseline", "--prefix", "/other/")
    given = {
        "--name": "orders",
        "--mode": "enforce",
        "--access": "credentials",
        "--required-scopes": "orders:read, orders:write",
        "--methods": "GET,POST",
        "--accepts": "application/json",
        "--produces": "application/json",
        "--max-body-bytes": "1000",
        "--cost": "3",
        "--cors-policy": "browser-apps",
        "--header-policy": "api",
        "--anonymous-tier": "anonymous",
        "--user-tier": "standard",
    }
    done = run("route", "set", "/api/", *(part for pair in given.items() for part in pair))
    assert done.status == 0
    route = Route.objects.get(path_prefix="/api/")
    assert route.required_scopes == ["orders:read", "orders:write"]
    assert (route.name, route.mode, route.access, route.cost) == (
        *("orders", "enforce"),
        *("credentials", 3),
    )
    assert (route.cors_policy.name, route.header_policy.name) == ("browser-apps", "api")
    assert (route.anonymous_tier.slug, route.user_tier.slug) == ("anonymous", "standard")
    assert (route.methods, route.max_body_bytes) == (["GET", "POST"], 1000)


def test_an_empty_text_empties_a_list_and_removes_a_reference(run):
    run("baseline")
    run("route", "set", "/api/", "--accepts", "", "--cors-policy", "")
    route = Route.objects.get()
    assert (route.accepts, route.cors_policy) == ([], None)
    assert route.produces == ["application/json"]
    assert PolicyChange.objects.first().actor_name == "apiguard route set (command line)"


def test_without_options_nothing_is_written(run):
    run("baseline")
    before = PolicyState.objects.get().revision
    assert "Nothing to change" in run("route", "set", "/api/").out
    assert PolicyState.objects.get().revision == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["/api/?x"], "query"),
        (["/api/", "--header-policy", "ap"], "Did you mean 'api'?"),
        (["/api/", "--methods", "get"], "upper case"),
        (["/api/", "--accepts", "json"], "media type"),
        (["/other/", "--name", "api"], "already exists"),
    ],
)
def test_a_value_that_is_refused_changes_nothing(run, arguments, text):
    run("baseline")
    before = PolicyState.objects.get().revision
    done = run("route", "set", *arguments)
    assert (done.status, done.out) == (2, "")
    assert text in done.err
    assert PolicyState.objects.get().revision == before


def test_a_route_that_has_errors_can_be_switched_off(run):
    Route.objects.create(name="all", path_prefix="/", methods=["get"])
    assert run("route", "set", "/", "--methods", "post").status == 2
    assert run("route", "set", "/", "--mode", "off").status == 0
    assert Route.objects.get().mode == "off"
