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

from collections.abc import Generator, Sequence

from ..rules.limits import Decision
from . import access
from .effects import CountLimits, Failed, Steps, asking, perform, run
from .passage import Passage
from .verdict import Verdict

OURS = "apiguard.middleware.ApiGuardMiddleware"
# On the way to a view these keep things on the request, redirect, or serve a static file.
HARMLESS = frozenset(
    {
        "corsheaders.middleware.CorsMiddleware",
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

    Args:
        middleware: dotted paths, as in ``MIDDLEWARE``. Those before the guard
            count too: they may have hooks of their own for views.
    """
    return OURS in middleware and HARMLESS.issuperset(set(middleware) - {OURS})


def may_go_on(passage: Passage) -> bool:
    """Whether from here on nothing but a limit can refuse the request."""
    return not passage.facts.unknown_length and access.judge(passage) is None


class Underway:
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
        try:
            next(self._asked)
        except StopIteration as stop:
            run(self._steps, self._passage, stop.value)

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
    passage.underway = Underway(steps, asked, passage)
    return None
