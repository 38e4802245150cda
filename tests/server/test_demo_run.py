"""``manage.py demo`` from its first line to the last thing that it promises."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
import urllib3

from tests.demo_site import demo_environment
from tests.server.calls import chunked, exchange, request_head
from tests.servers import CHECKOUT, clean_environment, free_port

pytestmark = pytest.mark.slow


@contextmanager
def demo(env, folder, *arguments):
    """The command, serving; gives its base URL, what it printed and what it logged; stops it."""
    port = str(free_port())
    printed, log = folder / f"printed-{port}", folder / f"log-{port}"
    with printed.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", port, *arguments],
            cwd=CHECKOUT,
            env=clean_environment({**env, "SECRETS_FILE": os.devnull}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            base_url = f"http://127.0.0.1:{port}"
            for _ in range(300):
                assert process.poll() is None, log.read_text()
                if answers(base_url):
                    break
                time.sleep(0.1)
            yield base_url, printed.read_text, log.read_text
        finally:
            process.terminate()
            process.wait(20)


def answers(base_url):
    try:
        return get(f"{base_url}/health").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def get(url, headers=None):
    return urllib3.request("GET", url, headers=headers, retries=False, timeout=30)


@pytest.fixture
def env(tmp_path):
    return demo_environment(f"sqlite:///{tmp_path / 'site.sqlite3'}")


@pytest.fixture(scope="module")
def for_people(tmp_path_factory):
    """A demonstration as somebody starts it who wants to look at it."""
    folder = tmp_path_factory.mktemp("people")
    with demo(demo_environment(f"sqlite:///{folder / 'site.sqlite3'}"), folder) as running:
        yield running


def as_curl_would(line):
    """Send what a printed curl line sends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(line)[1:])
    return urllib3.request(
        given.method or ("GET" if given.body is None else "POST"),
        given.url,
        headers=dict(header.split(": ", 1) for header in given.headers),
        body=given.body,
        retries=False,
        timeout=30,
    )


def test_the_four_lines_to_try_do_what_they_say(for_people):
    _, printed, _ = for_people
    assert re.findall(r"^\d\. .*\((\d+)\)\.$", printed(), re.M) == ["201", "403", "200", "204"]
    lines = [line.strip() for line in printed().splitlines() if line.strip().startswith("curl ")]
    admitted, refused, counted, preflight = [as_curl_would(line) for line in lines]
    assert (admitted.status, admitted.json()["item"]) == (201, "tea")
    assert (refused.status, refused.json()["error"]) == (403, "insufficient_permissions")
    assert counted.status == 200
    assert '"per-minute";r=990' in counted.headers["RateLimit"]
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


def test_the_printed_password_opens_the_printed_desk(for_people):
    base_url, printed, _ = for_people
    username, password = re.search(r"user (\S+), password (\S+)", printed()).groups()
    page = get(f"{base_url}/admin/login/")
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.data)[1].decode()
    cookie = page.headers["Set-Cookie"].split(";")[0]
    signed_in = urllib3.request(
        "POST",
        f"{base_url}/admin/login/",
        body=urlencode({"csrfmiddlewaretoken": token, "username": username, "password": password}),
        headers={"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
        redirect=False,
        retries=False,
    )
    assert signed_in.status == 302
    assert "sessionid" in signed_in.headers["Set-Cookie"]


@pytest.mark.parametrize("page", ["/admin/login/", "/api/docs/"])
def test_pages_bring_all_their_styles_and_scripts(for_people, page):
    base_url, _, _ = for_people
    text = get(base_url + page).data.decode()
    assets = re.findall(r'(?:href|src)="(/[^"]+\.(?:css|js))"', text)
    assert assets
    assert {asset: get(base_url + asset).status for asset in assets} == dict.fromkeys(assets, 200)


def test_the_schema_describes_the_api(for_people):
    base_url, _, _ = for_people
    answer = get(f"{base_url}/api/schema/?format=json")
    assert answer.status == 200
    assert {"/api/orders", "/api/users/me", "/api/export"} <= set(answer.json()["paths"])


def test_the_development_server_asks_for_a_length(for_people):
    base_url, printed, _ = for_people
    key = re.search(r"acme +(\S+)", printed())[1]
    headers = [
        ("X-API-Key", key),
        ("Content-Type", "application/json"),
        ("Transfer-Encoding", "chunked"),
    ]
    port = int(base_url.rpartition(":")[2])
    answer = exchange(port, request_head("POST", "/api/plain", headers), *chunked(b"{}"))
    assert answer is not None
    assert answer.status == 411
    assert json.loads(answer.data)["error"] == "length_required"


def test_json_is_one_object_and_a_second_run_replaces_its_keys(env, tmp_path):
    seen = []
    for _ in range(2):
        with demo(env, tmp_path, "--json") as (base_url, printed, logged):
            said = json.loads(printed())
            assert said["base_url"] == base_url
            key = {"X-API-Key": said["api_keys"]["acme"]}
            assert get(f"{base_url}/api/users/me", key).status == 200
            for earlier in seen:
                old = {"X-API-Key": earlier["api_keys"]["acme"]}
                assert get(f"{base_url}/api/users/me", old).status == 401
        # Nothing was added while it served, and no secret went the other way.
        assert json.loads(printed()) == said
        assert "GET /api/users/me" in logged()
        secrets = [*said["api_keys"].values(), said["jwt"], said["admin"]["password"]]
        assert [secret for secret in secrets if secret in logged()] == []
        seen.append(said)
    assert seen[0].keys() == seen[1].keys()
    assert seen[0]["admin"]["password"] != seen[1]["admin"]["password"]
