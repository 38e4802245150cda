"""What Django does without apiguard it goes on doing: pages of views, logs, odd environments."""

from __future__ import annotations

import logging

import pytest
from django import VERSION as DJANGO
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpResponse
from django.test import override_settings
from django.urls import path, register_converter
from django.urls.converters import StringConverter

from tests.request import views
from tests.request.site import DOORS, MIDDLEWARE, Call, guarded, route

ALL_DOORS = pytest.mark.parametrize("door", DOORS)
CONVERTED: list[str] = []


class Noting(StringConverter):
    """A path converter with effects, as one that reads a row."""

    def to_python(self, value):
        CONVERTED.append(value)
        return value


register_converter(Noting, "noting")


def page(request):
    return HttpResponse("<p>the view's own</p>", status=int(request.GET["status"]))


def raises(request):
    raise {"403": PermissionDenied, "404": Http404, "500": ValueError}[request.GET["status"]]


urlpatterns = [
    path("api/page", page),
    path("api/raises", raises),
    path("api/converted/<noting:name>", lambda request, name: HttpResponse(name)),
    *views.urlpatterns,
]
here = override_settings(ROOT_URLCONF=__name__)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 500, 503])
@ALL_DOORS
def test_a_page_that_a_view_returned_is_its_own(door, status):
    with guarded(route()), here:
        call = Call(path=f"/api/page?status={status}", headers={"Accept": "application/json"})
        response = DOORS[door](call)
    assert (response.status_code, response.content) == (status, b"<p>the view's own</p>")
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("status", [403, 404, 500])
@ALL_DOORS
def test_a_page_of_django_s_for_an_exception_becomes_a_problem(door, status):
    with guarded(route()), here:
        response = DOORS[door](Call(path=f"/api/raises?status={status}"))
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"


class FailsBehind:
    """A middleware of the project that fails after the view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.get_response(request)
        raise ValueError("behind the view")


def test_an_exception_of_a_middleware_behind_the_view_becomes_a_problem_too():
    chain = [*MIDDLEWARE, f"{__name__}.FailsBehind"]
    with guarded(route()), override_settings(MIDDLEWARE=chain):
        response = Call().wsgi()
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"


@ALL_DOORS
def test_a_host_that_is_not_allowed_is_logged_as_django_does(door, caplog):
    call = Call(headers={"Host": "evil.example"})
    told = []
    for rows in ([], [route()]):
        caplog.clear()
        with guarded(*rows), caplog.at_level(logging.WARNING):
            # Without a route it is CommonMiddleware that looks at the host.
            assert DOORS[door](call).status_code == 400
        told.append(
            [
                (record.name, record.levelname, record.getMessage(), record.status_code)
                for record in caplog.records
                if record.name.startswith("django.")
            ]
        )
    assert told[0] == told[1]
    assert [line[0] for line in told[1]] == ["django.security.DisallowedHost"]
    assert "evil.example" in told[1][0][2]


@ALL_DOORS
def test_a_refused_request_runs_no_path_converter(door):
    CONVERTED.clear()
    with guarded(route(access="credentials")), here:
        assert DOORS[door](Call(path="/api/converted/a")).status_code == 401
    assert CONVERTED == []


class Rewrites:
    """A middleware that maps a public path to a guarded one."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.path_info = request.path_info.replace("/open/", "/api/")
        return self.get_response(request)


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        pytest.param([route(access="credentials")], 503, id="from no route"),
        pytest.param(
            [route("/open/", name="open"), route(access="credentials")], 503, id="another"
        ),
        pytest.param([route("/open/", name="open")], 200, id="to no route"),
        pytest.param([route(mode="observe")], 200, id="to one that observes"),
    ],
)
@ALL_DOORS
def test_a_path_that_a_middleware_moves_under_another_route_is_refused(door, rows, status, caplog):
    chain = [MIDDLEWARE[0], f"{__name__}.Rewrites", *MIDDLEWARE[1:]]
    with guarded(*rows), override_settings(MIDDLEWARE=chain):
        response = DOORS[door](Call(path="/open/plain"))
    assert response.status_code == status
    assert ("moved the path under route" in caplog.text) is (len(rows) == 2 or "/api/" in str(rows))


@ALL_DOORS
def test_an_endless_content_type_is_refused_before_it_is_parsed(door):
    call = Call("POST", content_type="text/plain; charset=" + "x" * 60_000, body=b"x")
    with guarded(route()):
        if DJANGO >= (6, 1):
            # Django itself refuses it (400) while it makes the request, before any middleware.
            with pytest.raises(BadRequest):
                DOORS[door](call)
        else:
            assert DOORS[door](call).status_code == 415
