"""Undo and the history from the command line."""

from __future__ import annotations

import json

from apiguard.models import Client, PolicyChange, PolicyState, Route


def revision():
    return PolicyState.objects.get().revision


def test_without_yes_it_prints_what_it_does_and_does_nothing(run):
    Route.objects.create(name="api", path_prefix="/api/")
    Route.objects.update(mode="off")
    before = revision()
    done = run("undo", str(before))
    assert done.status == 1
    assert "change route api (mode)" in done.out
    assert "Add --yes" in done.err
    assert (Route.objects.get().mode, revision()) == ("off", before)


def test_with_yes_it_is_done_as_a_new_revision(run):
    Route.objects.create(name="api", path_prefix="/api/")
    Route.objects.update(mode="off")
    done = run("undo", str(revision()), "--yes", "--reason", "a mistake", "--json")
    assert (done.status, Route.objects.get().mode) == (0, "enforce")
    assert done.json["revision"] == revision()
    assert done.json["steps"][0]["after"] == {"mode": "enforce"}
    last = PolicyChange.objects.order_by("pk").last()
    assert (last.actor_name, last.reason) == ("apiguard undo (command line)", "a mistake")


def test_everything_since_a_revision_is_taken_back(run):
    Route.objects.create(name="api", path_prefix="/api/")
    start = revision()
    Route.objects.update(mode="off")
    Route.objects.update(cost=5)
    Client.objects.create(slug="acme", name="Acme")
    done = run("undo", str(start), "--since", "--yes")
    assert done.status == 0
    assert (Route.objects.get().mode, Route.objects.get().cost) == ("enforce", 1)
    assert not Client.objects.get().enabled


def test_what_it_opens_to_one_client_is_printed(run):
    Client.objects.create(slug="acme", name="Acme")
    Client.objects.update(enabled=False)
    assert "The keys of “Acme” are accepted." in run("undo", str(revision())).out


def test_what_stands_in_the_way_is_named(run):
    Route.objects.create(name="api", path_prefix="/api/")
    Route.objects.update(mode="off")
    number = revision()
    Route.objects.update(mode="observe")
    done = run("undo", str(number), "--yes")
    assert done.status == 2
    assert "Mode of the route “api” was changed later" in done.err
    assert run("undo", "99", "--yes").status == 2


def test_changes_are_one_json_object_per_line(run):
    route = Route.objects.create(name="api", path_prefix="/api/")
    first = revision()
    Route.objects.update(mode="off")
    lines = [json.loads(line) for line in run("changes", "--json").out.splitlines()]
    assert [line["action"] for line in lines] == ["created", "changed"]
    assert (lines[1]["pk"], lines[1]["before"], lines[1]["after"]) == (
        *(str(route.pk), {"mode": "enforce"}),
        {"mode": "off"},
    )
    later = run("changes", "--since", str(first))
    assert len(later.out.splitlines()) == 1
    assert 'mode: "enforce" -> "off"' in later.out
