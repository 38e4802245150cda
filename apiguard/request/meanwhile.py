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

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.handlers.base import BaseHandler
from django.urls import get_resolver

from ..counters.base import waited_for
from ..rules.limits import Decision
from . import access
from .effects import CountLimits, Failed, Steps, asking, perform, run
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


@lru_cache(maxsize=8)
def has_own_not_found(urlconf: str) -> bool:
    """Whether a path that leads to no view runs code of the project: its own ``handler404``."""
    return hasattr(get_resolver(urlconf).urlconf_module, "handler404")


def may_go_on(passage: Passage) -> bool:
    """Whether from here on nothing but a limit can refuse the request."""
    if passage.facts.unknown_length or has_own_not_found(django_settings.ROOT_URLCONF):
        return False
    return passage.known is not None or access.judge(passage) is None


class Suspended:
    """A judgement that waits for the counter while its request goes on."""

    __slots__ = ("_asked", "_passage", "_steps")

    def __init__(
        self,
        steps: Steps[Verdict],
        asked: Generator[None, None, Decision | Failed],
        passage: Passage,
    ) -> None:
        self._steps, self._asked, self._passage = steps, asked, passage

    def finish(self) -> None:
        """Wait for the answer, and judge the rest; the passage knows the verdict."""
        self._passage.underway = None
        run(self._steps, self._passage, waited_for(self._asked))

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._passage.underway = None
        self._asked.close()
        self._steps.close()


def begin(steps: Steps[Verdict], passage: Passage) -> Verdict | None:
    """As ``effects.run``; ``None`` where the counter is asked and has not answered yet."""
    try:
        effect = next(steps)
        while not (isinstance(effect, CountLimits) and may_go_on(passage)):
            effect = steps.send(perform(effect, passage))
    except StopIteration as stop:
        verdict: Verdict = stop.value
        return verdict
    asked = asking(effect, passage)
    try:
        next(asked)
    except StopIteration as stop:
        return run(steps, passage, stop.value)
    passage.underway = Suspended(steps, asked, passage)
    return None
