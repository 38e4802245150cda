"""A site whose counter is asked in two steps, and what happens on the way; for two test files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from django.http import HttpResponse
from django.middleware.common import CommonMiddleware
from django.test import override_settings
from django.urls import path

from apiguard.counters.base import StoreFailed
from apiguard.counters.breaker import Breaker
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.resilient import ResilientCounter
from apiguard.request import effects
from apiguard.request.counting import Counting
from tests.counters.later import Later
from tests.request import views
from tests.request.site import MIDDLEWARE, Call, guarded, route, tier

START = 1_790_000_000_123_456
OWN = "tests.request.two_steps.ProjectsOwn"
ONLY_SYNC = "tests.request.two_steps.OnlySync"
HARMLESS = [
    MIDDLEWARE[0],
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    *MIDDLEWARE[1:3],
    "django.middleware.locale.LocaleMiddleware",
    *MIDDLEWARE[3:],
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
WELL = ["asked", "common", "answered", "view"]
AT_ONCE = ["asked", "answered", "common", "view"]

# What happened, in order; the fixture ``events`` empties it.
EVENTS: list[str] = []


class ProjectsOwn:
    """Some middleware of a project, on both ways to a view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        EVENTS.append("own")
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        EVENTS.append("own hook")


class OnlySync:
    """Harmless, and under ASGI a reason to run all that is before it in a thread."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


def seen(request):
    EVENTS.append("view")
    return HttpResponse(request.apiguard.verdict.outcome)


urlpatterns = [path("api/seen", seen), path("api/slashed/", seen), *views.urlpatterns]


@dataclass
class Store:
    """A counter in two steps that says what it does, and fails as it is told."""

    fails_when: str = ""
    counter: MemoryCounter = field(default_factory=lambda: MemoryCounter(lambda: START))

    def ask(self, question):
        self._note("asked")
        return Later(partial(self._answer, question), partial(EVENTS.append, "given up"))

    def _answer(self, question):
        self._note("answered")
        return self.counter.decide(*question[:3], commit=question.commit)

    def _note(self, step):
        EVENTS.append(step)
        if step == self.fails_when:
            raise StoreFailed("away")


@pytest.fixture
def events(monkeypatch):
    """What happens from now on; Django's own middleware is seen by one of it."""
    EVENTS.clear()
    process_request = CommonMiddleware.process_request

    def logging(self, request):
        EVENTS.append("common")
        return process_request(self, request)

    monkeypatch.setattr(CommonMiddleware, "process_request", logging)
    return EVENTS


@contextmanager
def counted_by(monkeypatch, store):
    resilient = ResilientCounter(store, MemoryCounter(lambda: START), Breaker())
    with monkeypatch.context() as patch:
        patch.setattr(effects, "counting", lambda _: Counting(resilient))
        yield


@pytest.fixture
def store(monkeypatch):
    store = Store()
    with counted_by(monkeypatch, store):
        yield store


@contextmanager
def site(*amounts, middleware=HARMLESS, rows=(), on_store_failure="local", **fields):
    limits = tier("anonymous", *(amounts or [1]), on_store_failure=on_store_failure)
    fields = {"anonymous_tier": limits[0], **fields}
    with (
        guarded(route(**fields), *limits, *rows),
        override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=__name__),
    ):
        yield


SEEN = Call(path="/api/seen", headers={"X-Request-ID": "i"})


def during(events, ask):
    """What is answered, and what happens until then."""
    events.clear()
    response = ask()
    return response, list(events)


def told_of(response):
    """All that a client sees of a response, in its order."""
    content = b"".join(response) if response.streaming else response.content
    cookies = {name: morsel["path"] for name, morsel in response.cookies.items()}
    return response.status_code, list(response.items()), content, cookies
