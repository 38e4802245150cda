from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
import urllib3
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError

from apiguard.models import PolicyChange
from tests.demo_site import demo_environment
from tests.servers import CHECKOUT, clean_environment, free_port, gunicorn, manage

pytestmark = pytest.mark.slow


@pytest.fixture
def env(tmp_path):
    return demo_environment(f"sqlite:///{tmp_path / 'site.sqlite3'}")


def execute(env, query):
    """What a query of the database gives."""
    path = env["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def counted(env):
    """How many rows of each kind there are, and how many keys are not revoked."""
    tables = {model._meta.db_table for model in apps.get_app_config("apiguard").get_models()}
    tables -= {PolicyChange._meta.db_table}
    rows = {table: execute(env, f"SELECT count(*) FROM {table}")[0][0] for table in tables}  # noqa: S608
    usable = "SELECT count(*) FROM apiguard_apikey WHERE revoked_at IS NULL"
    return {**rows, "usable": execute(env, usable)[0][0]}


def whoami(server, headers):
    url = f"{server.base_url}/api/users/me"
    return urllib3.request("GET", url, headers=headers, retries=False)


def test_json_is_all_that_it_prints(env):
    done = manage("demo", "--setup-only", "--json", "--host", "::1", "--port", "8123", env=env)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) == {"base_url", "admin", "api_keys", "jwt"}
    assert set(said["admin"]) == {"username", "password"}
    assert set(said["api_keys"]) == {"acme", "hobby"}
    assert said["base_url"] == "http://[::1]:8123"


def test_for_people_it_prints_how_to_sign_in_and_four_lines_to_try(demo_site_in_memory):
    done = manage("demo", "--setup-only", env=demo_site_in_memory.env)
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:8000/admin/" in done.stdout
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert len([line for line in lines if line.startswith("curl ")]) == 4


def test_running_it_again_adds_nothing_twice_and_revokes_the_earlier_keys(demo_site_in_memory):
    env, first = demo_site_in_memory.env, demo_site_in_memory.api_keys
    before = counted(env)
    second = json.loads(manage("demo", "--setup-only", "--json", env=env).stdout)
    after = counted(env)
    assert after.pop("apiguard_apikey") == before.pop("apiguard_apikey") + 2
    assert before["usable"] == 2
    assert after == before
    with gunicorn(env, workers=1) as server:
        for name in ("acme", "hobby"):
            assert whoami(server, {"X-API-Key": first[name]}).status == 401
            assert whoami(server, {"X-API-Key": second["api_keys"][name]}).status == 200


def test_what_somebody_edited_is_left_alone(demo_site_in_memory):
    env = demo_site_in_memory.env
    execute(env, "UPDATE apiguard_route SET cost = 7 WHERE name = 'export'")
    assert manage("demo", "--setup-only", "--json", env=env).returncode == 0
    assert execute(env, "SELECT cost FROM apiguard_route WHERE name = 'export'") == [(7,)]


def test_without_secrets_it_writes_them_once_for_its_owner_alone(env, tmp_path):
    path = tmp_path / "secrets"
    kept = {"DATABASE_URL": env["DATABASE_URL"], "SECRETS_FILE": str(path)}
    done = manage("demo", "--setup-only", "--json", env=kept)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with gunicorn(kept, workers=1) as server:
        keys = json.loads(done.stdout)["api_keys"]
        assert whoami(server, {"X-API-Key": keys["acme"]}).status == 200


def test_other_commands_refuse_to_start_without_a_secret_key(env):
    del env["SECRET_KEY"]
    done = manage("check", env=env)
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("apiguard", "--help"), ("help", "apiguard"), ("demo", "-h")]
)
def test_help_needs_no_secret(arguments):
    done = manage(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout


def test_it_serves_after_it_has_printed(env, tmp_path):
    port = str(free_port())
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--json", "--port", port],
            cwd=CHECKOUT,
            env=clean_environment({**env, "SECRETS_FILE": os.devnull}),
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            said = json.loads(process.stdout.readline())
            assert said["base_url"] == f"http://127.0.0.1:{port}"
            answer = urllib3.request(
                "GET",
                f"{said['base_url']}/api/users/me",
                headers={"Authorization": f"Bearer {said['jwt']}"},
                retries=urllib3.Retry(connect=60, backoff_factor=0.1, backoff_max=0.5),
            )
            assert answer.json()["user"]["principal"].endswith(":alice")
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=30)
    assert rest == b""


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_does_not_exist_is_refused(port):
    with pytest.raises(CommandError, match="--port"):
        call_command("demo", "--port", port)


def test_a_port_that_is_taken_is_reported_before_anything_is_made():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(CommandError, match=f"port {port} cannot be served on"):
            call_command("demo", "--port", port)
