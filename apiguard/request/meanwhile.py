"""What goes on while the counter decides: Django finds the view, and nothing else happens.

A round trip in the middle of a request costs a process less by what it does
than by falling asleep and waking up. So the question is sent, Django finds the
view, and the answer is read before the view is called. Judgement is suspended
where it asks, and goes on from there: what is decided, and in which order, is
the same.

A request that a limit refuses has no effects: no view of a project runs before
the answer is read, and none of its middleware. Where there is any that is not
known to be harmless, the answer is waited for at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.handlers.base import BaseHandler
from django.core.signals import setting_changed
from django.urls import get_resolver

from ..counters.base import Answered, Asked
from . import access, pipeline
from .effects import Failed, answer_of, ask, perform, run
from .passage import Passage
from .verdict import Verdict

OURS = "apiguard.middleware.ApiGuardMiddleware"
# On the way to a view these keep things on the request, redirect, or serve a static file.
HARMLESS = frozenset(
    {
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
    }
)


def is_harmless(middleware: Sequence[str]) -> bool:
    """Whether nothing that has effects stands on the way to a view.

    Sessions have none, unless settings say that every request touches its own.

    Args:
        middleware: dotted paths, as in ``MIDDLEWARE``; the guard comes first.
    """
    touches_sessions = (
        django_settings.SESSION_SAVE_EVERY_REQUEST or django_settings.CSRF_USE_SESSIONS
    )
    return (
        tuple(middleware[:1]) == (OURS,)
        and HARMLESS.issuperset(middleware[1:])
        and not touches_sessions
    )


def is_djangos(get_response: Callable[..., Any]) -> bool:
    """Whether behind the guard stands what Django has put there, and no view."""
    inner = getattr(get_response, "__wrapped__", get_response)
    stands = getattr(inner, "__self__", inner)
    path = f"{type(stands).__module__}.{type(stands).__qualname__}"
    return isinstance(stands, BaseHandler) or path in HARMLESS


@lru_cache(maxsize=1)
def has_own_not_found() -> bool:
    """Whether a path that leads to no view runs code of the project: its own ``handler404``."""
    return hasattr(get_resolver(django_settings.ROOT_URLCONF).urlconf_module, "handler404")


def _forget(*, setting: str, **_: object) -> None:
    if setting == "ROOT_URLCONF":
        has_own_not_found.cache_clear()


setting_changed.connect(_forget, dispatch_uid="apiguard.meanwhile")


def may_go_on(passage: Passage) -> bool:
    """Whether from here on nothing but a limit can refuse the request."""
    if passage.facts.unknown_length or has_own_not_found():
        return False
    return passage.known is not None or access.judge(passage) is None


class Suspended:
    """A judgement that waits for the counter while its request goes on."""

    __slots__ = ("_asked", "_passage")

    def __init__(self, asked: Asked, passage: Passage) -> None:
        self._asked, self._passage = asked, passage

    def finish(self) -> None:
        """Wait for the answer, and judge the rest; the passage knows the verdict."""
        self._passage.underway = None
        pipeline.after_counting(self._passage, answer_of(self._asked))

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._passage.underway = None
        self._asked.give_up()


def begin(passage: Passage) -> Verdict | None:
    """``pipeline.before_view``; ``None`` where the counter is asked and has not answered yet."""
    question = pipeline.as_before(passage) or run(pipeline.before_counting(passage), passage)
    if isinstance(question, Verdict):
        return question
    if not may_go_on(passage):
        return pipeline.after_counting(passage, perform(question, passage))
    asked = ask(question, passage)
    if isinstance(asked, Answered | Failed):
        return pipeline.after_counting(passage, answer_of(asked))
    passage.underway = Suspended(asked, passage)
    return None
