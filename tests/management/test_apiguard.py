from __future__ import annotations

import json

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from apiguard.management.commands import _publish
from apiguard.models import ApiKey, PolicyChange, PolicyState, Route
from apiguard.policy import load
from apiguard.policy.holder import holder
from apiguard.rules import keys as key_rules
from tests.management.conftest import apiguard
from tests.servers import manage


def last_change():
    return PolicyChange.objects.first()


def test_the_baseline_is_written_and_named(run):
    said = run("baseline", "--prefix", "/v1/", "--enforce")
    assert said.status == 0
    assert "Made route 'api'." in said.out.splitlines()
    assert Route.objects.get().mode == "enforce"
    assert said.err == ""


def test_who_only_observes_is_told_so(run):
    assert "enforce" in run("baseline").err


def test_the_baseline_as_json(run):
    assert "route 'api'" in run("baseline", "--json").json["created"]
    assert run("baseline", "--json").json == {"created": []}


def test_a_baseline_that_is_there_says_so(run):
    run("baseline")
    assert run("baseline").out == "Everything is there already.\n"


def test_a_wrong_prefix_is_explained(run):
    said = run("baseline", "--prefix", "api/")
    assert said.status == 2
    assert "Did you mean '/api/'?" in said.err


@pytest.mark.parametrize(
    ("arguments", "actor"),
    [
        pytest.param(("baseline",), "apiguard baseline (command line)", id="baseline"),
        pytest.param(("publish",), "apiguard publish (command line)", id="publish"),
        pytest.param(
            ("key", "create", "acme", "--name", "ci"),
            "apiguard key create (command line)",
            id="key create",
        ),
    ],
)
def test_the_history_names_the_command(run, acme, arguments, actor):
    run(*arguments)
    assert last_change().actor_name == actor


def test_publish_takes_the_next_revision_and_says_which(run, acme):
    before = PolicyState.objects.get().revision
    assert run("publish", "--json").json == {"revision": before + 1, "found": 0}
    assert run("publish").out == f"Revision {before + 2} is published.\n"


def test_publish_works_where_nothing_was_ever_published(run):
    assert run("publish", "--json").json == {"revision": 1, "found": 0}


def test_publish_is_remembered(run):
    run("publish")
    change = last_change()
    assert (change.action, change.revision, change.reason) == ("published", 1, _publish.REASON)


@pytest.mark.django_db(transaction=True)
def test_publish_makes_a_worker_see_what_raw_sql_wrote():
    def mode_in_force():
        return holder.snapshot().routes.find("/api/orders").mode

    holder.snapshot()
    apiguard("baseline")
    assert mode_in_force() == "observe"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE apiguard_route SET mode = 'enforce'")
    assert mode_in_force() == "observe"
    apiguard("publish")
    assert mode_in_force() == "enforce"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="no sub-command"),
        pytest.param(("polish",), id="an unknown sub-command"),
        pytest.param(("key",), id="key alone"),
        pytest.param(("key", "revoke", "0"), id="no reason"),
        pytest.param(("key", "revoke", "0", "--reason", " "), id="an empty reason"),
        pytest.param(("key", "create", "acme"), id="a key without a name"),
        pytest.param(("token", "--issuer", "demo"), id="a token without a subject"),
    ],
)
def test_arguments_that_cannot_be_read_are_used_wrongly(run, arguments):
    # Called from a program; from a shell argparse itself ends with 2.
    said = run(*arguments)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("Error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("block", "192.0.2.7", "--until", "2h", "--reason", "f\udcfcr"),
        ("counters", "show", "\udcff"),
        ("forget", "user:\udcff"),
        ("plan", "\udcff.yaml"),
        ("plan", "a\x00b"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_used_wrongly(run, arguments):
    done = run(*arguments)
    assert done.status == 2
    assert "is not UTF-8" in done.err
    assert done.err.encode()


def test_names_in_rows_cannot_write_to_the_terminal(run, acme):
    acme.name = "\x1b[2JAcme\u202e\x9b1m"
    acme.save()
    ApiKey.objects.issue(acme, "a\x1b]0;owned\x07b")
    for arguments in (("changes",), ("key", "list")):
        done = run(*arguments)
        assert done.status == 0
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.out)
    assert "\\x1b]0;owned\\x07b" in done.out


def test_a_principal_with_a_number_that_no_row_has_is_used_wrongly(run):
    assert run("forget", f"client:{'9' * 5000}").status == 2


def test_a_wrong_setting_is_reported_without_a_traceback(run, acme):
    with override_settings(APIGUARD={"REALM": ""}):
        said = run("key", "list")
        assert said.status == 0
        said = run("key", "create", "acme", "--name", "ci")
    assert said.status == 2
    assert "REALM" in said.err


def test_missing_tables_are_reported_plainly(run, monkeypatch):
    monkeypatch.setattr(load, "tables_exist", lambda: False)
    said = run("check")
    assert said.status == 2
    assert "manage.py migrate" in said.err


def test_a_database_that_fails_is_reported_plainly(run, monkeypatch):
    def away():
        raise OperationalError("no such column: apiguard_route.cost")

    monkeypatch.setattr(load, "state", away)
    said = run("check")
    assert said.status == 2
    assert "no such column" in said.err
    assert "manage.py migrate" in said.err


def test_the_pattern_for_scanners_needs_no_database():
    namespace = "ag"
    said = apiguard("key", "pattern")
    assert said.out == key_rules.pattern(namespace) + "\n"
    assert apiguard("key", "pattern", "--json").json == {"pattern": key_rules.pattern(namespace)}


@pytest.fixture
def shell(tmp_path):
    """The command in a process of its own, on a database that is not migrated."""
    env = {
        "SECRET_KEY": "command-line-secret-key-" * 3,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}",
    }

    def call(*arguments):
        return manage(*arguments, env=env)

    return call


def test_a_shell_sees_the_exit_status(shell, demo_site_in_memory):
    unmigrated = shell("apiguard", "check")
    assert unmigrated.returncode == 2
    assert "Traceback" not in unmigrated.stderr
    env = demo_site_in_memory.env
    assert manage("apiguard", "key", "list", env=env).returncode == 0
    revoke = ("apiguard", "key", "revoke", "nobody", "--reason", "lost")
    assert manage(*revoke, env=env).returncode == 1


def test_options_of_django_may_stand_behind_the_sub_command(shell):
    said = shell("apiguard", "key", "pattern", "--settings=project.settings", "--json")
    assert said.returncode == 0
    assert set(json.loads(said.stdout)) == {"pattern"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", "acme", "--name=--"),
        ("key", "create", "acme", "--name=ci", "--expires-in=--"),
        ("changes", "--since=--"),
        ("explain", "GET", "/", "--origin=--"),
    ],
    ids=["name", "number", "since", "origin"],
)
def test_a_value_that_argparse_loses_is_refused(run, acme, arguments):
    said = run(*arguments)
    assert said.status == 2
    assert not ApiKey.objects.exists()
