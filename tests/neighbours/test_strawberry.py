"""The recipe for strawberry-graphql in docs/views.md, taken from the page and sent requests."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from django.test import override_settings
from django.urls import path

from tests.fresh_project import blocks_of
from tests.request.site import Call, Caller, guarded, route

pytestmark = pytest.mark.django_db
URLCONF = "tests_strawberry_recipe"


@pytest.fixture
def _recipe(monkeypatch):
    """A URLconf with the view of the page; strawberry looks its names up in sys.modules."""
    urlconf = ModuleType(URLCONF)
    monkeypatch.setitem(sys.modules, URLCONF, urlconf)
    (text,) = (block for block in blocks_of("docs/views.md", "python") if "strawberry" in block)
    exec(compile(f"from typing import Any\n{text}", "views.md", "exec"), vars(urlconf))  # noqa: S102
    urlconf.urlpatterns = [path("graphql/", urlconf.graphql_view)]


def answer(query, *scopes, anonymous=False):
    caller = Caller(scopes=scopes)
    body = json.dumps({"query": query}).encode()
    headers = {} if anonymous else {"X-API-Key": caller.text}
    rows = [route("/graphql/", access="credentials"), *caller.rows]
    with guarded(*rows), override_settings(ROOT_URLCONF=URLCONF):
        return Call("POST", "/graphql/", headers, body, "application/json").wsgi()


@pytest.mark.usefixtures("_recipe")
def test_a_key_with_the_scope_reads_the_field():
    response = answer("{ orders }", "orders:read")
    assert (response.status_code, response.json()["data"]) == (200, {"orders": ["first"]})


@pytest.mark.usefixtures("_recipe")
def test_a_key_without_the_scope_reads_the_other_fields_alone():
    refused = answer("{ orders }", "orders:write").json()
    assert refused["data"] is None
    assert [error["message"] for error in refused["errors"]] == ["needs the scope orders:read"]
    assert answer("{ caller }").json()["data"]["caller"].startswith("client:")


@pytest.mark.usefixtures("_recipe")
def test_a_request_without_a_credential_never_reaches_the_schema():
    response = answer("{ caller }", anonymous=True)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
