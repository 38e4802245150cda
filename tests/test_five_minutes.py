"""The README's way into an existing project, followed to the letter.

A project made with ``django-admin startproject``, with sessions, CSRF, tokens
and tests of its own, is changed by exactly the blocks that the README shows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
EXISTING = Path(__file__).parent / "existing"

Run = Callable[..., str]


def readme_blocks(language: str) -> list[str]:
    text = (CHECKOUT / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("five-minutes")
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "shop", str(root)],
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    for part in ("urls", "views", "tests"):
        (root / "shop" / f"{part}.py").write_text((EXISTING / f"shop_{part}.py").read_text())
    settings = root / "shop" / "settings.py"
    before = '\nimport os, sys\nINSTALLED_APPS += ["rest_framework"]\nALLOWED_HOSTS = ["*"]\n'
    settings.write_text(settings.read_text() + before)
    return root


@pytest.fixture(scope="module")
def run(project: Path, redis_url: str) -> Run:
    def manage(*arguments: str, code: str = "") -> str:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": f"{project}{os.pathsep}{CHECKOUT}",
            "APIGUARD_PEPPER": "p" * 40,
        }
        command = ["-c", code] if code else ["manage.py", *arguments]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "Ran 6 tests" in manage("test", "shop.tests")
    _follow_the_readme(project, redis_url)
    return manage


def _follow_the_readme(project: Path, redis_url: str) -> None:
    settings, drf, tests = readme_blocks("python")
    assert "redis://127.0.0.1:6379/5" in settings
    settings = settings.replace("redis://127.0.0.1:6379/5", redis_url)
    in_tests = f"if 'test' in sys.argv:\n    {tests.strip()}\n"
    path = project / "shop" / "settings.py"
    path.write_text(f"{path.read_text()}\n{settings}\n{drf}\n{in_tests}")


REQUESTS = """
import django, json
django.setup()
from django.test import Client
from django.contrib.auth.models import User
from apiguard.models import ApiKey, Client as ApiClient, Route, Tier
Route.objects.filter(path_prefix="/api/").update(mode={mode!r})
client = Client()
own = {{"HTTP_AUTHORIZATION": "Bearer the-shop's-own"}}
caller, _ = ApiClient.objects.get_or_create(
    slug="acme", defaults={{"name": "Acme", "tier": Tier.objects.get(slug="free")}})
_, key = ApiKey.objects.issue(caller, "test")
user, _ = User.objects.get_or_create(username="ann")
signed_in = Client(enforce_csrf_checks=True)
signed_in.force_login(user)
def told(response):
    return [response.status_code, sorted(name.lower() for name in response.headers)]
print("JSON" + json.dumps({{
    "anonymous": told(client.get("/api/items/")),
    "key": told(client.get("/api/items/", HTTP_X_API_KEY=key)),
    "key_says": client.get("/api/items/", HTTP_X_API_KEY=key).json()["caller"],
    "bad_key": told(client.get("/api/items/", HTTP_X_API_KEY="nonsense")),
    "webhook": told(client.post("/api/webhook/", **own)),
    "session": told(signed_in.get("/api/mine/")),
    "session_post": told(signed_in.post("/api/items/", {{}}, content_type="application/json")),
    "elsewhere": told(client.get("/about/")),
}}))
"""


def answers(run: Run, mode: str) -> dict[str, Any]:
    said = run(code=REQUESTS.format(mode=mode))
    result: dict[str, Any] = json.loads(said.split("JSON", 1)[1].splitlines()[0])
    return result


@pytest.fixture(scope="module")
def baseline(run: Run) -> Run:
    run("migrate")
    run("apiguard", "baseline", "--prefix", "/api/")
    return run


def test_the_projects_own_tests_stay_green(run: Run) -> None:
    assert "Ran 6 tests" in run("test", "shop.tests")


def test_its_checks_find_nothing_but_the_sqlite_options(run: Run) -> None:
    assert set(re.findall(r"apiguard\.[EW]\d+", run("check"))) == {"apiguard.W003"}


def test_the_baseline_observes_and_changes_no_answer(baseline: Run) -> None:
    observed, absent = answers(baseline, "observe"), answers(baseline, "off")
    # Without any route DRF's authentication classes judge a bad key by themselves.
    assert (observed.pop("bad_key")[0], absent.pop("bad_key")[0]) == (200, 401)
    assert observed == absent
    assert observed["anonymous"][0] == 200
    assert observed["webhook"][0] == 200
    assert observed["session"][0] == 200
    assert "x-request-id" in observed["elsewhere"][1]


def test_enforced_it_asks_for_a_key_and_takes_one(baseline: Run) -> None:
    enforced = answers(baseline, "enforce")
    assert enforced["anonymous"][0] == 401
    assert "www-authenticate" in enforced["anonymous"][1]
    assert enforced["key"][0] == 200
    assert enforced["key_says"] == "client:acme"
    assert {"x-ratelimit-limit", "ratelimit", "content-security-policy"} <= set(enforced["key"][1])
    assert enforced["bad_key"][0] == 401
    assert enforced["elsewhere"] == answers(baseline, "off")["elsewhere"]
