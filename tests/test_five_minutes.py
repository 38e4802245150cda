"""The README's way into an existing project, followed to the letter."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from tests.fresh_project import CHECKOUT, FreshProject, blocks_of, follow_the_readme, make_project
from tests.servers import free_port

# What somebody who follows the README types or chooses, where it leaves the choice to them.
CHOICES = {
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_PASSWORD": "a long pass phrase",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> FreshProject:
    made = make_project(tmp_path_factory.mktemp("five-minutes"), **CHOICES)
    assert "Ran 6 tests" in made.manage("test", "shop.tests")
    follow_the_readme(made, redis_url)
    return made


REQUESTS = """
import django, json
django.setup()
from django.test import Client
from django.contrib.auth.models import User
from apiguard.models import ApiKey, Client as ApiClient, Route, Tier
client = Client()
own = {"HTTP_AUTHORIZATION": "Bearer the-shop's-own"}
caller, _ = ApiClient.objects.get_or_create(
    slug="acme", defaults={"name": "Acme", "tier": Tier.objects.get(slug="free")})
_, key = ApiKey.objects.issue(caller, "test")
user, _ = User.objects.get_or_create(username="ann")
signed_in = Client(enforce_csrf_checks=True)
signed_in.force_login(user)
def told(response):
    return [response.status_code, sorted(name.lower() for name in response.headers)]
def answers(mode):
    Route.objects.filter(path_prefix="/api/").update(mode=mode)
    return {
    "anonymous": told(client.get("/api/items/")),
    "key": told(client.get("/api/items/", HTTP_X_API_KEY=key)),
    "key_says": client.get("/api/items/", HTTP_X_API_KEY=key).json()["caller"],
    "bad_key": told(client.get("/api/items/", HTTP_X_API_KEY="nonsense")),
    "webhook": told(client.post("/api/webhook/", **own)),
    "session": told(signed_in.get("/api/mine/")),
    "session_post": told(signed_in.post("/api/items/", {}, content_type="application/json")),
    "elsewhere": told(client.get("/about/")),
    }
print("JSON" + json.dumps({mode: answers(mode) for mode in ("observe", "off", "enforce")}))
"""


@pytest.fixture(scope="module")
def answers(baseline: FreshProject) -> dict[str, Any]:
    """Mode of the route -> what each request is answered."""
    said = baseline.python("-c", REQUESTS)
    result: dict[str, Any] = json.loads(said.split("JSON", 1)[1].splitlines()[0])
    return result


@pytest.fixture(scope="module")
def baseline(project: FreshProject) -> FreshProject:
    """The project after the commands of the README, up to the one that serves it."""
    for line in commands():
        arguments = shlex.split(line, comments=True)[2:]
        if arguments[0] == "createsuperuser":
            arguments.append("--noinput")
        if arguments[0] != "runserver":
            project.manage(*arguments)
    return project


def shell_lines() -> list[str]:
    return [line for block in blocks_of("README.md", "sh") for line in block.splitlines()]


def commands() -> list[str]:
    return [line for line in shell_lines() if line.startswith("python manage.py ")]


@contextmanager
def served(project: FreshProject) -> Iterator[str]:
    """The development server; gives its address."""
    port = free_port()
    command = [sys.executable, "manage.py", "runserver", "--noreload", str(port)]
    log = (project.root / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            command, cwd=project.root, env=project.variables(), stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_the_projects_own_tests_stay_green(project: FreshProject) -> None:
    assert "Ran 6 tests" in project.manage("test", "shop.tests")


def test_its_checks_find_nothing_but_the_sqlite_options(project: FreshProject) -> None:
    assert set(re.findall(r"apiguard\.[EW]\d+", project.manage("check"))) == {"apiguard.W003"}


def test_what_is_installed_is_this_distribution() -> None:
    (line,) = (line for line in shell_lines() if line.startswith("pip install "))
    name = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["name"]
    assert shlex.split(line)[2].split(" @ ")[0] == name


def test_every_command_is_one_that_these_tests_run() -> None:
    others = {line.split()[0] for line in set(shell_lines()) - set(commands())}
    assert others == {"#", "pip", "export", "curl", "scripts/demo", "scripts/test"}
    assert commands()[-1] == "python manage.py runserver"


NEW_CLIENT = """
import django; django.setup()
from apiguard.models import Client, Tier
Client.objects.create(slug="acme", name="Acme", tier=Tier.objects.get(slug="free"))
"""


def test_a_new_client_calls_the_api_with_its_new_key(baseline: FreshProject) -> None:
    baseline.python("-c", NEW_CLIENT)
    said = re.search(r"`python manage.py (apiguard key create [^`]+)`", readme())
    assert said is not None
    key = re.search(r"ag_live_\w+", baseline.manage(*said[1].split()))
    (line,) = (line for line in shell_lines() if line.startswith("curl "))
    _, _, _, header, url = shlex.split(line)
    name, value = header.split(": ")
    with served(baseline) as base_url:
        url = url.replace("http://127.0.0.1:8000", base_url) + "items/"
        retries = urllib3.Retry(60, backoff_factor=0.1, backoff_max=0.5)
        sent = {name: value.replace("$KEY", key[0] if key else "")}
        answer = urllib3.request("GET", url, headers=sent, retries=retries)
    assert (answer.status, answer.json()["caller"]) == (200, "client:acme")


def readme() -> str:
    return (CHECKOUT / "README.md").read_text()


def test_the_baseline_observes_and_changes_no_answer(answers: dict[str, Any]) -> None:
    observed, absent = answers["observe"], answers["off"]
    assert observed == absent
    # No key of ours has that shape, so it may be one of the project's own.
    assert observed["bad_key"][0] == 200
    assert observed["anonymous"][0] == 200
    assert observed["webhook"][0] == 200
    assert observed["session"][0] == 200
    assert "x-request-id" in observed["elsewhere"][1]


def test_enforced_it_asks_for_a_key_and_takes_one(answers: dict[str, Any]) -> None:
    enforced = answers["enforce"]
    assert enforced["anonymous"][0] == 401
    assert "www-authenticate" in enforced["anonymous"][1]
    assert enforced["key"][0] == 200
    assert enforced["key_says"] == "client:acme"
    assert {"x-ratelimit-limit", "ratelimit", "content-security-policy"} <= set(enforced["key"][1])
    assert enforced["bad_key"][0] == 401
    assert enforced["elsewhere"] == answers["off"]["elsewhere"]
