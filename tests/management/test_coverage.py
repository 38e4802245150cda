"""``apiguard coverage`` on the reference site: status 1 while a pattern is not guarded."""

from __future__ import annotations

from django.test import override_settings

from apiguard.models import Route


def test_unguarded_patterns_stand_first_and_end_with_status_1(run):
    Route.objects.create(name="api", path_prefix="/api/", mode="observe")
    said = run("coverage", "--json")
    assert said.status == 1
    patterns = said.json["patterns"]
    states = [each["state"] for each in patterns]
    assert states == sorted(states, key=["unguarded", "guarded"].index)
    assert said.json["unguarded"] == states.count("unguarded")
    by_text = {each["pattern"]: each for each in patterns}
    assert by_text["/health"]["state"] == "unguarded"
    order = by_text["/api/orders/<int:pk>"]
    assert (order["name"], order["route"], order["mode"]) == ("order", "api", "observe")
    assert order["view"] == "project.orders.views.OneOrder"


def test_people_read_one_line_per_pattern_and_one_for_the_admin(run):
    Route.objects.create(name="api", path_prefix="/api/")
    said = run("coverage")
    lines = said.out.splitlines()
    assert lines[0].split() == ["unguarded", "/health", "-"]
    assert "patterns of an admin site" in lines[1]
    assert any(line.split()[1:] == ["/api/orders", "api", "(enforce)"] for line in lines)
    assert "URL patterns have paths that no route guards" in said.err


def test_status_0_where_nothing_is_left_unguarded(run):
    Route.objects.create(name="all", path_prefix="/")
    said = run("coverage")
    assert said.status == 0
    assert "Every URL pattern is guarded" in said.out


def test_a_urlconf_that_cannot_be_loaded_is_status_2(run):
    with override_settings(ROOT_URLCONF="no.such.module"):
        assert run("coverage").status == 2


def test_it_says_that_the_middleware_is_switched_off(run, settings):
    settings.APIGUARD = {**settings.APIGUARD, "ENABLED": False}
    assert "guards nothing" in run("coverage").err
