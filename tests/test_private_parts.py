"""What other packages keep private is used where it is listed, and nowhere else."""

from __future__ import annotations

import ast
import io

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory

from tests.private_parts import attributes_of, find_uses
from tests.source import read_package

# Each in one module, with a comment there why no public way exists, and a test that
# fails with a clear message when the other package moves it.
ALLOWED = {
    "_stream",  # HttpRequest
    "_dont_enforce_csrf_checks",  # HttpRequest
    "_resource_closers",  # HttpResponse
    "_store",  # ResponseHeaders
    "_request",  # Request of Django REST framework
    "_for_write",  # QuerySet
    "_render",  # Template
}


@pytest.fixture(scope="module")
def uses():
    return find_uses(read_package("apiguard"))


def test_what_others_keep_private_is_left_alone(uses):
    assert {use for use in uses if use.attribute not in ALLOWED} == set()


@pytest.mark.parametrize("attribute", sorted(ALLOWED))
def test_a_private_part_is_used_in_one_module(uses, attribute):
    modules = {use.module for use in uses if use.attribute == attribute}
    assert len(modules) <= 1


def test_django_still_keeps_what_is_used_under_these_names():
    moved = "Django has moved this attribute: see tests/test_private_parts.py, ALLOWED"
    request = WSGIRequest({"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(b"body")})
    assert request._stream.read is not None, moved
    assert HttpResponse()._resource_closers == [], moved
    assert User.objects.all()._for_write is False, moved


@pytest.mark.parametrize(("switched_off", "refused"), [(True, False), (False, True)])
def test_django_still_skips_its_csrf_check_where_it_is_switched_off(switched_off, refused):
    request = RequestFactory().post("/")
    request._dont_enforce_csrf_checks = switched_off
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    assert (check.process_view(request, lambda _: None, (), {}) is not None) is refused


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("request._stream", ["_stream"], id="read"),
        pytest.param("request._stream = None", ["_stream"], id="written"),
        pytest.param("getattr(request, '_body', None)", ["_body"], id="by its name as text"),
        pytest.param("f.__globals__", ["__globals__"], id="behind a function"),
        pytest.param("headers.__class__ = Faster", ["__class__"], id="a change of class"),
        pytest.param("def _x(): ...\nmodule._x()", [], id="a name of the module itself"),
        pytest.param("self._x", [], id="an attribute of its own"),
        pytest.param("row._meta", [], id="documented"),
        pytest.param("headers.__class__.__name__", [], id="what Python shows everybody"),
    ],
)
def test_a_use_is_seen_however_it_is_written(source, found):
    assert list(attributes_of(ast.parse(source))) == found
