"""The host of a request is what Django says it is, known or not."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.request import hosts
from apiguard.request.hosts import LONGEST, host_of


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(hosts, "_known", hosts._Known((), False))


def request_for(host=None, request_class=HttpRequest, **meta):
    request = request_class()
    request.META = {"SERVER_NAME": "testserver", "SERVER_PORT": "80", **meta}
    if host is not None:
        request.META["HTTP_HOST"] = host
    return request


def as_django_says(request):
    try:
        return request.get_host()
    except DisallowedHost:
        return None


NAMES = ["a.example", "b.example", "api.a.example", "localhost", "127.0.0.1", "[::1]", "testserver"]
NAME = st.one_of(
    st.sampled_from(
        [*NAMES, "A.EXAMPLE", "a.example.", "", ".a.example", "a..example", "[::1", "é"]
    ),
    st.text(max_size=20),
    st.sampled_from(["a", "ab.", "é"]).map(lambda part: part * 300),
    st.integers(250, 265).map(lambda length: "a" * length + ".a.example"),
)
HOSTS = st.builds(
    str.__add__,
    NAME,
    st.sampled_from(["", "", ":80", ":8000", ":", ":x", ":80:80", "/", "@b", "\0"]),
)
SETTINGS = st.fixed_dictionaries(
    {
        "ALLOWED_HOSTS": st.one_of(
            st.sampled_from([[], ["*"], (), (".a.example",), ["a.example", "[::1]"]]),
            st.lists(st.sampled_from([*NAMES, ".example", ".localhost", "*"]), max_size=3),
        ),
        "DEBUG": st.booleans(),
        "USE_X_FORWARDED_HOST": st.booleans(),
        "USE_X_FORWARDED_PORT": st.booleans(),
    }
)
METAS = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_HOST": HOSTS,
        "HTTP_X_FORWARDED_HOST": HOSTS,
        "HTTP_X_FORWARDED_PORT": st.sampled_from(["80", "443", "x"]),
        "SERVER_NAME": st.sampled_from(NAMES),
        "SERVER_PORT": st.sampled_from(["80", "8000"]),
    },
)


@settings(max_examples=200)
@given(
    requests=st.lists(METAS, min_size=1, max_size=4),
    states=st.lists(SETTINGS, min_size=1, max_size=3),
)
def test_it_is_what_django_says_known_or_not_and_whatever_changes(requests, states):
    for state in [*states, *states]:
        with override_settings(**state):
            for meta in [*requests, *requests]:
                assert host_of(request_for(**meta)) == as_django_says(request_for(**meta))


@settings(max_examples=100)
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    changes=st.lists(st.sampled_from([*NAMES, ".example", "*", None]), max_size=6),
)
def test_a_list_that_is_changed_in_place_is_seen_at_once(names, changes):
    with override_settings(ALLOWED_HOSTS=[]):
        for change in [None, *changes]:
            if change is None:
                django_settings.ALLOWED_HOSTS.clear()
            else:
                django_settings.ALLOWED_HOSTS.append(change)
            for name in [*names, *names]:
                assert host_of(request_for(name)) == as_django_says(request_for(name))


def test_what_debug_alone_allows_is_not_allowed_without_it():
    with override_settings(ALLOWED_HOSTS=[]):
        for debug in (True, False, True, False):
            with override_settings(DEBUG=debug):
                told = [host_of(request_for("localhost:8000")) for _ in range(2)]
            assert told == ["localhost:8000" if debug else None] * 2


class Counting(HttpRequest):
    """A request whose host is asked for through Django's own method, and counted."""

    asked = 0

    def _get_raw_host(self):
        Counting.asked += 1
        return super()._get_raw_host()


@pytest.mark.parametrize(
    ("host", "options", "asked"),
    [
        pytest.param("testserver", {}, 1, id="allowed"),
        pytest.param("testserver:8000", {}, 1, id="with a port"),
        pytest.param("evil.example", {}, 3, id="not allowed"),
        pytest.param("", {}, 3, id="empty"),
        pytest.param(None, {}, 3, id="as the server is named"),
        pytest.param("testserver", {"USE_X_FORWARDED_HOST": True}, 3, id="as a proxy may say"),
        pytest.param("a" * (LONGEST + 1), {"ALLOWED_HOSTS": ["*"]}, 3, id="longer than any name"),
        pytest.param("a" * LONGEST, {"ALLOWED_HOSTS": ["*"]}, 1, id="as long as a name can be"),
    ],
)
def test_django_is_asked_once_for_a_name_that_is_allowed(host, options, asked):
    Counting.asked = 0
    with override_settings(**options):
        told = {host_of(request_for(host, Counting)) for _ in range(3)}
        assert Counting.asked == asked
        assert told == {as_django_says(request_for(host, Counting))}


class ByTenant(HttpRequest):
    """A request of a project's own, which knows better."""

    answers = ("first.example", "second.example")

    def get_host(self):
        self.META["asked"] = self.META.get("asked", 0) + 1
        if self.META["asked"] > len(self.answers):
            raise DisallowedHost("no more")
        return self.answers[self.META["asked"] - 1]


def test_a_request_with_a_way_of_its_own_is_asked_each_time():
    assert host_of(request_for("testserver")) == "testserver"
    request = request_for("testserver", ByTenant)
    assert [host_of(request) for _ in range(3)] == ["first.example", "second.example", None]
    # What it said is said of nobody else.
    assert host_of(request_for("first.example")) is None


@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory])
def test_the_requests_of_both_gateways_are_known_again(factory, monkeypatch):
    request = factory().get("/")
    request.META["HTTP_HOST"] = "testserver:81"
    assert isinstance(request, ASGIRequest) is (factory is AsyncRequestFactory)
    assert host_of(request) == "testserver:81"
    monkeypatch.setattr(hosts, "_judged", lambda _: "judged again")
    assert host_of(request) == "testserver:81"


def test_what_is_known_is_bounded():
    with override_settings(ALLOWED_HOSTS=["*"]):
        for number in range(2000):
            assert host_of(request_for(f"h{number}.example")) == f"h{number}.example"
    assert 0 < len(hosts._known.hosts) <= 2 * hosts.ROOM
