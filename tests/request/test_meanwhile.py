"""The counter is asked, Django finds the view, the answer is read: in this order."""

from __future__ import annotations

import sys
import types

import pytest
from django.contrib.sessions.backends.cache import SessionStore
from django.core.handlers.base import BaseHandler
from django.http import HttpResponse
from django.middleware.common import CommonMiddleware
from django.test import override_settings

from apiguard.middleware import ApiGuardMiddleware
from apiguard.request import meanwhile
from apiguard.request.verdict import Outcome
from tests.request.site import MIDDLEWARE, Call
from tests.request.two_steps import (
    AT_ONCE,
    EVENTS,
    HARMLESS,
    ONLY_SYNC,
    OWN,
    SEEN,
    WELL,
    Store,
    counted_by,
    during,
    site,
    told_of,
    urlpatterns,
)

# -- which middleware ------------------------------------------------------------


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        pytest.param([meanwhile.OURS], True, id="ours alone"),
        pytest.param(MIDDLEWARE, True, id="as startproject makes it"),
        pytest.param(HARMLESS, True, id="all that is Django's"),
        pytest.param(tuple(HARMLESS), True, id="a tuple"),
        pytest.param([*MIDDLEWARE, MIDDLEWARE[2]], True, id="one twice"),
        pytest.param([OWN, *MIDDLEWARE], False, id="a project's own before it"),
        pytest.param([*MIDDLEWARE, OWN], False, id="a project's own behind it"),
        pytest.param(MIDDLEWARE[1:], False, id="without ours"),
        pytest.param([], False, id="none"),
        pytest.param(
            [*MIDDLEWARE, "django.middleware.cache.FetchFromCacheMiddleware"], False, id="a cache"
        ),
        pytest.param(
            [*MIDDLEWARE, "django.contrib.auth.middleware.RemoteUserMiddleware"],
            False,
            id="one that writes rows",
        ),
        pytest.param(
            ["apiguard.middleware.apiguardmiddleware", *MIDDLEWARE[1:]], False, id="another name"
        ),
    ],
)
def test_only_what_is_known_to_be_harmless_is_harmless(middleware, expected):
    assert meanwhile.is_harmless(middleware) is expected


@pytest.mark.parametrize("name", ["SESSION_SAVE_EVERY_REQUEST", "CSRF_USE_SESSIONS"])
def test_where_every_request_touches_its_session_nothing_is_harmless(name):
    assert meanwhile.is_harmless(MIDDLEWARE)
    with override_settings(**{name: True}):
        assert not meanwhile.is_harmless(MIDDLEWARE)


@pytest.mark.parametrize("name", ["SESSION_SAVE_EVERY_REQUEST", "CSRF_USE_SESSIONS"])
def test_a_refused_request_does_not_touch_its_session(name, events, store, monkeypatch):
    for step in ("load", "save"):
        monkeypatch.setattr(SessionStore, step, lambda *_, _step=step: EVENTS.append(_step) or {})
    call = SEEN.but({"Cookie": f"sessionid={'a' * 32}"})
    engine = "django.contrib.sessions.backends.cache"
    with site(), override_settings(SESSION_ENGINE=engine, **{name: True}):
        steps = [during(events, call.wsgi)[1] for _ in range(2)]
    assert {"load", "save"} & set(steps[0])
    assert steps[1] == AT_ONCE[:2]


# -- the order of events ---------------------------------------------------------


@pytest.mark.parametrize(
    ("middleware", "admitted", "refused"),
    [
        pytest.param(MIDDLEWARE, WELL, WELL[:3], id="harmless"),
        pytest.param(HARMLESS, WELL, WELL[:3], id="all that is Django's"),
        pytest.param([*MIDDLEWARE[1:], MIDDLEWARE[0]], ["common", *AT_ONCE[:2], "view"],
                     ["common", *AT_ONCE[:2]], id="ours last"),
        pytest.param([*MIDDLEWARE, OWN], [*AT_ONCE[:3], "own", "own hook", "view"],
                     AT_ONCE[:2], id="a project's own behind it"),
        pytest.param([MIDDLEWARE[0], OWN, *MIDDLEWARE[1:]],
                     ["asked", "answered", "own", "common", "own hook", "view"],
                     AT_ONCE[:2], id="a project's own next to it"),
        pytest.param([OWN, *MIDDLEWARE], ["own", *AT_ONCE[:3], "own hook", "view"],
                     ["own", *AT_ONCE[:2]], id="a project's own before it"),
    ],
)  # fmt: skip
def test_the_answer_is_read_before_anything_that_has_effects(
    middleware, admitted, refused, events, store
):
    with site(middleware=middleware):
        (first, during_first), (second, during_second) = (
            during(events, SEEN.wsgi) for _ in range(2)
        )
    assert (first.status_code, during_first) == (200, admitted)
    assert (second.status_code, during_second) == (429, refused)


@pytest.mark.parametrize(
    ("ask", "middleware"),
    [
        pytest.param(Call.asgi, HARMLESS, id="an asynchronous stack"),
        pytest.param(Call.asgi, [*HARMLESS, ONLY_SYNC], id="ASGI, a synchronous stack"),
    ],
)
def test_under_asgi_the_answer_is_waited_for_at_once(ask, middleware, events, store, monkeypatch):
    monkeypatch.setattr(meanwhile, "HARMLESS", meanwhile.HARMLESS | {ONLY_SYNC})
    with site(middleware=middleware):
        answers = [during(events, lambda: ask(SEEN)) for _ in range(2)]
        assert Call.wsgi(SEEN).status_code == 429
    assert [(answer.status_code, steps) for answer, steps in answers] == [
        (200, AT_ONCE),
        (429, AT_ONCE[:2]),
    ]


def test_a_synchronous_stack_is_not_harmful_by_itself(events, store, monkeypatch):
    monkeypatch.setattr(meanwhile, "HARMLESS", meanwhile.HARMLESS | {ONLY_SYNC})
    with site(middleware=[*HARMLESS, ONLY_SYNC]):
        assert during(events, SEEN.wsgi)[1] == WELL


@pytest.mark.parametrize(
    ("call", "settings", "status", "steps"),
    [
        pytest.param(SEEN.but(path="/api/slashed"), {}, 301, WELL[:3], id="APPEND_SLASH"),
        pytest.param(SEEN, {"SECURE_SSL_REDIRECT": True}, 301, AT_ONCE[:2], id="to https"),
        pytest.param(SEEN.but(path="/api/nowhere"), {}, 404, WELL[:3], id="no such view"),
    ],
)
def test_where_no_view_is_reached_the_answer_is_still_read(
    call, settings, status, steps, events, store
):
    with site(), override_settings(**settings):
        (first, during_first), (second, during_second) = (
            during(events, call.wsgi) for _ in range(2)
        )
    assert (first.status_code, during_first) == (status, steps)
    assert (second.status_code, during_second) == (429, steps)
    assert second.json()["violated-policies"] == ["anonymous-1"]
    assert "Location" not in second.headers


def own_error_page(request, exception):
    EVENTS.append("own page")
    return HttpResponse("nothing here", status=404)


def test_a_page_of_the_project_s_own_for_what_is_not_found_is_a_view_too(
    events, store, monkeypatch
):
    urlconf = types.ModuleType("tests.with_an_error_page")
    urlconf.urlpatterns, urlconf.handler404 = urlpatterns, own_error_page
    monkeypatch.setitem(sys.modules, urlconf.__name__, urlconf)
    call = SEEN.but(path="/api/nowhere")
    with site(3), override_settings(ROOT_URLCONF=urlconf.__name__):
        found = during(events, SEEN.wsgi)[1]
        admitted = [during(events, call.wsgi)[1] for _ in range(2)]
        answer, refused = during(events, call.wsgi)
    assert found == AT_ONCE
    assert admitted == [[*AT_ONCE[:3], "own page"]] * 2
    assert (answer.status_code, refused) == (429, AT_ONCE[:2])


@pytest.mark.parametrize("attribute", ["verdict", "decision"])
@pytest.mark.parametrize("path_", ["/api/seen", "/api/slashed", "/api/nowhere"])
def test_who_asks_in_between_waits_and_changes_nothing(
    attribute, path_, events, store, monkeypatch
):
    told = []

    def asks(self, request):
        told.append(getattr(request.apiguard, attribute))
        assert request.apiguard.underway is None
        EVENTS.append("told")

    call = SEEN.but(path=path_)
    with site():
        expected = [call.wsgi() for _ in range(2)]
        store.counter.clear()
        monkeypatch.setattr(CommonMiddleware, "process_request", asks)
        # Redirects come from its process_response as well.
        answers = [during(events, call.wsgi) for _ in range(2)]
    for (answer, steps), plain in zip(answers, expected, strict=True):
        assert steps[:3] == ["asked", "answered", "told"]
        assert told_of(answer) == told_of(plain)
    assert "view" not in answers[1][1]
    if attribute == "verdict":
        assert [one.outcome for one in told] == [Outcome.ADMITTED, Outcome.LIMIT_EXCEEDED]
    else:
        assert [one.allowed for one in told] == [True, False]


# -- interrupted ------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_the_thread_in_between_gives_the_question_up(error, events, store, monkeypatch):
    requests, held = [], []

    def ends(self, request):
        requests.append(request)
        held.append(request.apiguard.underway)  # So that nothing but giving it up ends it.
        raise error

    monkeypatch.setattr(CommonMiddleware, "process_request", ends)
    with site(), pytest.raises(error):
        SEEN.wsgi()
    assert events == ["asked", "given up"]
    assert requests[0].apiguard.underway is None


@pytest.mark.parametrize(("before", "status"), [(0, 500), (1, 429)])
def test_after_an_error_in_between_the_answer_is_still_read(
    before, status, events, store, monkeypatch
):
    def fails(self, request):
        raise RuntimeError("a text for the log alone")

    with site():
        for _ in range(before):
            SEEN.wsgi()
        monkeypatch.setattr(CommonMiddleware, "process_request", fails)
        answer, steps = during(events, SEEN.wsgi)
    assert (answer.status_code, steps) == (status, ["asked", "answered"])
    assert answer.wsgi_request.apiguard.underway is None


def test_an_error_that_nobody_has_made_an_answer_of_gives_the_question_up(events, store):
    requests = []

    def get_response(_, request):
        requests.append(request)
        assert request.apiguard.underway is not None
        raise RuntimeError("nobody caught this")

    with site(), pytest.raises(RuntimeError, match="nobody"):
        ApiGuardMiddleware(types.MethodType(get_response, BaseHandler()))(SEEN.request())
    assert events == ["asked", "given up"]
    assert requests[0].apiguard.underway is None


def test_before_a_view_that_was_put_there_by_hand_the_answer_is_waited_for(events, store):
    def view(request):
        EVENTS.append("view")
        return HttpResponse("done")

    with site():
        answers = [ApiGuardMiddleware(view)(SEEN.request()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert events == ["asked", "answered", "view", "asked", "answered"]


def test_a_mistake_of_the_counter_lets_nobody_in(events, monkeypatch):
    class Mistaken(Store):
        def _note(self, step):
            EVENTS.append(step)
            if step == "answered":
                raise ZeroDivisionError

    with counted_by(monkeypatch, Mistaken()), site():
        answer = SEEN.wsgi()
    assert answer.status_code == 500
    assert events == WELL[:3]
    assert answer.wsgi_request.apiguard.underway is None


# -- the store is away -------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails_when", "steps"),
    [("asked", ["asked", "common"]), ("answered", ["asked", "common", "answered"])],
)
@pytest.mark.parametrize(
    ("on_store_failure", "statuses"),
    [("open", [200, 200]), ("local", [200, 429]), ("closed", [503, 503])],
)
def test_a_store_that_fails_at_either_step_does_as_the_limit_says(
    fails_when, steps, on_store_failure, statuses, events, store
):
    store.fails_when = fails_when
    with site(on_store_failure=on_store_failure):
        answers = [during(events, SEEN.wsgi) for _ in range(2)]
    assert [answer.status_code for answer, _ in answers] == statuses
    for answer, happened in answers:
        # At the question it is known at once that there will be no answer.
        is_early = fails_when == "asked" and answer.status_code != 200
        assert happened == steps[: 1 if is_early else None] + ["view"] * (answer.status_code == 200)
        if answer.status_code == 503:
            assert answer.headers["Retry-After"] == "1"
            assert answer.json()["error"] == "service_unavailable"


def test_a_limited_answer_is_whole(events, store):
    with site():
        SEEN.wsgi()
        answer = SEEN.wsgi()
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Retry-After"] == str(answer.json()["retryAfter"])
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert "Content-Language" not in answer.headers
