"""The shared table through the decision by itself, and through Django's client."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client, override_settings

from apiguard import conf
from apiguard.policy.holder import holder
from apiguard.request import cors
from apiguard.request.context import GuardContext
from apiguard.request.facts import facts_of
from apiguard.request.verdict import Outcome
from apiguard.testing import snapshot_of

from .cors_cases import CASES
from .cors_policies import INNER_ROUTES, POLICIES, rows
from .cors_rows import told
from .site import close

TABLE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
OWN = "http://testserver"


@pytest.fixture(scope="module")
def snapshot():
    return snapshot_of(*rows())


@pytest.fixture
def site(snapshot):
    with (
        override_settings(ROOT_URLCONF="tests.request.cors_site"),
        holder.override(snapshot),
    ):
        yield snapshot


def environ(case):
    """The request's headers as WSGI has them."""
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in case.joined.items()}


@TABLE
def test_the_decision_by_itself(case, snapshot, cors_table):
    cors_table("decision")
    case = case.with_origins(OWN)
    settings = conf.current()
    route = snapshot.routes.find(unquote(case.path))
    facts = facts_of(environ(case), case.method, settings, secure=False, host="testserver")
    context = GuardContext(facts, settings, snapshot, route, "the-id")
    verdict = cors.check_origin(context)
    if context.route is not None and not context.route.enforced:
        return
    decided = None if verdict is None else verdict.outcome
    if verdict is not None:
        context.verdict = verdict
    store = {}
    cors.write_headers(context, store)
    headers = [*store.values(), *(verdict.headers if verdict is not None else ())]
    expected = {name: value for name, value in case.expected.items() if name != "vary"}
    if case.is_preflight:
        assert (decided is Outcome.PREFLIGHT_ANSWERED) == (case.status == 204)
        assert told(headers) == case.expected
    else:
        assert told(headers) == expected
        refused = decided is Outcome.FOREIGN_ORIGIN
        assert refused == (case.status == 403 and "access-control-allow-origin" not in expected)


@TABLE
def test_djangos_client(case, site, cors_table):
    cors_table("Django's client")
    case = case.with_origins(OWN)
    client = Client(raise_request_exception=False)
    extra = {"PATH_INFO": unquote(case.path), **environ(case)}
    response = client.generic(case.method, "/", **extra)
    close(response)
    assert (response.status_code, told(response.items())) == (case.status, case.expected)


@TABLE
def test_djangos_asynchronous_client(case, site, cors_table):
    cors_table("Django's asynchronous client")
    case = case.with_origins(OWN)
    client = AsyncClient(raise_request_exception=False)
    headers = [
        (name.lower().encode(), value.encode("latin-1")) for name, value in case.joined.items()
    ]

    async def ask():
        base = {"path": unquote(case.path), "method": case.method}
        return await client.request(**base, headers=[(b"host", b"testserver"), *headers])

    response = async_to_sync(ask)()
    close(response)
    assert (response.status_code, told(response.items())) == (case.status, case.expected)


def test_every_policy_of_the_table_is_tried():
    asked = {case.path.split("/")[1] for case in CASES} | {"local-forgetful"}  # In a browser.
    assert set(POLICIES) - asked == set()
    assert all(any(case.path.startswith(prefix) for case in CASES) for prefix in INNER_ROUTES)


def test_the_table_is_large_and_every_row_is_another_one():
    assert len(CASES) >= 150
    assert len({case.id for case in CASES}) == len(CASES)
    kinds = {(case.path, case.method, case.headers) for case in CASES}
    assert len(kinds) >= 0.95 * len(CASES)
