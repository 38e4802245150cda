"""The reference site as a caller sees it, under both kinds of server."""

from __future__ import annotations

import json

import pytest
import urllib3

from tests.demo_site import copy_of
from tests.servers import gunicorn, uvicorn

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(demo_template, tmp_path_factory):
    return copy_of(demo_template, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module", params=[gunicorn, uvicorn], ids=["gunicorn", "uvicorn"])
def server(request, site):
    with request.param(site.env) as running:
        yield running


@pytest.fixture
def call(server):
    def send(method, path, **options):
        return urllib3.request(method, server.base_url + path, retries=False, **options)

    return send


@pytest.fixture
def acme(site):
    return {"X-API-Key": site.api_keys["acme"]}


@pytest.fixture
def alice(site):
    return {"Authorization": f"Bearer {site.jwt}"}


def test_health_is_public(call):
    answer = call("GET", "/health")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_a_key_sees_its_client_and_tier(call, acme):
    user = call("GET", "/api/users/me", headers=acme).json()["user"]
    assert user["principal"].startswith("client:")
    assert (user["client"], user["tier"]) == ("acme", "standard")
    assert user["scopes"] == ["orders:read", "orders:write"]


def test_a_token_sees_its_subject_and_tier(call, alice):
    user = call("GET", "/api/users/me", headers=alice).json()["user"]
    assert user["principal"].startswith("jwt:")
    assert user["principal"].endswith(":alice")
    assert (user["client"], user["tier"]) == (None, "standard")


def test_nobody_is_refused(call):
    answer = call("GET", "/api/users/me")
    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_order_belongs_to_who_placed_it(call, acme, alice):
    placed = call("POST", "/api/orders", json={"item": "tea", "quantity": 2}, headers=acme)
    assert placed.status == 201
    path = f"/api/orders/{placed.json()['id']}"
    assert call("GET", path, headers=acme).json()["item"] == "tea"
    assert call("GET", path, headers=alice).status == 404
    assert placed.json() in call("GET", "/api/orders", headers=acme).json()
    assert placed.json() in call("GET", "/api/export", headers=acme).json()
    assert call("GET", "/api/orders", headers=alice).json() == []


@pytest.mark.parametrize("path", ["/api/orders", "/api/plain", "/api/complete"])
def test_json_that_is_nested_too_deeply_is_no_error_of_the_site(call, acme, path):
    headers = {**acme, "Content-Type": "application/json"}
    answer = call("POST", path, body=b"[" * 50_000, headers=headers)
    assert answer.status == {"/api/plain": 200}.get(path, 400)


def test_an_owner_in_the_body_is_ignored(call, acme):
    order = {"item": "tea", "owner": "jwt:1:alice"}
    placed = call("POST", "/api/orders", json=order, headers=acme).json()
    assert call("GET", f"/api/orders/{placed['id']}", headers=acme).status == 200


def test_writing_takes_its_own_scope(call, site):
    hobby = {"X-API-Key": site.api_keys["hobby"]}
    assert call("GET", "/api/orders", headers=hobby).status == 200
    assert call("POST", "/api/orders", json={"item": "tea"}, headers=hobby).status == 403


def test_a_plain_view_gets_the_whole_body_and_no_csrf_question(call, acme):
    answer = call("POST", "/api/plain", json={"a": 1}, headers=acme).json()
    assert answer["json"] == {"a": 1}
    assert answer["body_bytes"] == len(json.dumps({"a": 1}, separators=(",", ":")))


def test_a_plain_view_gets_a_streamed_body_too(call, acme):
    headers = {**acme, "Content-Type": "application/json"}
    answer = call("POST", "/api/plain", body=iter([b'{"a":', b" 1}"]), headers=headers)
    assert answer.json()["json"] == {"a": 1}


def test_what_a_failing_view_says_stays_inside(call, acme, server):
    answer = call("GET", "/api/boom", headers=acme)
    assert answer.status == 500
    assert b"boom: this text" not in answer.data
    assert "boom: this text" in server.log()


def test_the_docs_page_brings_its_own_assets(call):
    page = call("GET", "/api/docs/")
    assert page.status == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert b"https://" not in page.data
    assert b"<script>" not in page.data
    assert call("GET", "/api/schema/").status == 200


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/static/admin/css/base.css", id="the admin"),
        pytest.param(
            "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", id="the docs"
        ),
    ],
)
def test_static_files_are_served_with_debug_off(call, path):
    assert call("GET", path).status == 200


def test_the_admin_requires_a_sign_in(call):
    assert call("GET", "/admin/", redirect=False).headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    ("demo", "status"), [pytest.param("true", 500, id="on"), pytest.param("false", 404, id="off")]
)
def test_the_failing_view_exists_only_with_debug_or_demo(demo_site_in_memory, demo, status):
    site = demo_site_in_memory.with_env(DEMO=demo)
    with gunicorn(site.env, workers=1) as server:
        headers = {"X-API-Key": site.api_keys["acme"]}
        answer = urllib3.request(
            "GET", f"{server.base_url}/api/boom", headers=headers, retries=False
        )
    assert answer.status == status


def test_redis_counts_for_all_workers_together(demo_site):
    headers = {"X-API-Key": demo_site.api_keys["hobby"]}
    with gunicorn(demo_site.env, workers=3) as server:
        url = f"{server.base_url}/api/users/me"
        statuses = [
            # A new connection each time, so that all workers get some.
            urllib3.PoolManager().request("GET", url, headers=headers, retries=False).status
            for _ in range(110)
        ]
    assert (statuses.count(200), statuses.count(429)) == (100, 10)
