"""The table of recommendations is what the reference site really sends."""

from __future__ import annotations

import json
import re

import pytest
import urllib3

from tests.demo_site import copy_of
from tests.servers import CHECKOUT, gunicorn, manage

pytestmark = pytest.mark.slow

# Neither recommended nor advised against by anybody.
OTHERS = {"allow", "connection", "content-length", "date", "vary", "x-request-id"}
COLUMNS = {"api": 3, "strict": 4}

USE = """
from django.core.management import call_command
from apiguard.models import *
call_command("apiguard", "baseline", "--preset", {0!r})
route = Route.objects.get(path_prefix="/api/")
route.header_policy = HeaderPolicy.objects.get(name={0!r})
route.save()
"""


def table() -> list[list[str]]:
    """The rows of the table that begins with "header" and "OWASP"."""
    page = (CHECKOUT / "docs" / "headers.md").read_text()
    rows = re.search(r"^\| header \| OWASP .*\n\|[-|]+\n((?:\|.*\n)+)", page, re.M)
    assert rows is not None
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows[1].splitlines()]


@pytest.fixture(scope="module", params=COLUMNS)
def preset(request):
    return request.param


@pytest.fixture(scope="module")
def sent(demo_template, preset, tmp_path_factory):
    """The headers of one answer over https, as they stand on the wire."""
    site = copy_of(demo_template, tmp_path_factory.mktemp("headers"))
    site = site.with_env(APIGUARD_TRUSTED_PROXIES=json.dumps(["127.0.0.1"]))
    assert manage("shell", "-c", USE.format(preset), env=site.env).returncode == 0
    asks = {"X-API-Key": site.api_keys["acme"], "X-Forwarded-Proto": "https"}
    with gunicorn(site.env, workers=1) as server:
        url = f"{server.base_url}/api/users/me"
        answer = urllib3.request("GET", url, headers=asks, retries=False)
    assert answer.status == 200
    return answer.headers


def test_what_the_page_says_is_what_is_sent(sent, preset):
    for row in table():
        said, found = row[COLUMNS[preset]], sent.get(row[0])
        if said == "-":
            assert found is None, row[0]
        else:
            pattern = ".*".join(map(re.escape, said.strip("`").split("…")))
            assert re.fullmatch(pattern, found or ""), (row[0], found)


def test_what_is_sent_is_on_the_page_and_sent_once(sent):
    on_the_page = {row[0].lower() for row in table()}
    names = [name.lower() for name in sent]
    rest = {name for name in names if "ratelimit" not in name} - on_the_page
    assert rest <= OTHERS
    assert [name for name in set(names) if len(sent.getlist(name)) > 1] == []
