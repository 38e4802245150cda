"""Refuses an edit that would lock staff out of the admin.

A route with prefix ``/`` also guards the admin, its sign-in page included. So an
edit is compared with the policy before it: the guard's own stages judge, without
any effect and with fresh counters, the requests that are needed to work in the
admin site that serves the edit. If one of them would be refused from now on, or
a response header would stop the browser from sending its forms, the edit is
refused until the person ticks a box that names the site (see ``confirmation``).
The same for another admin site, or a limit that is low there, is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from .. import conf
from ..counters.base import LimitCheck
from ..counters.memory import MemoryCounter
from ..policy.snapshot import Snapshot
from ..request import pipeline, response
from ..request.context import GuardContext
from ..request.effects import Effect, peek, run
from ..request.facts import Facts, facts_of, host_of
from .admin_sites import AdminPaths, all_sites, site_serving
from .conflict_retry import add_message
from .form_barriers import find_barriers

MIDDLEWARE = "apiguard.middleware.ApiGuardMiddleware"
FEWEST_PER_MINUTE = 30
FORM = "application/x-www-form-urlencoded"


class Probe(NamedTuple):
    """One request that a person needs in order to work in the admin."""

    path: str
    facts: Facts
    user_pk: Any = None  # None: a request without a session.


@dataclass(frozen=True, slots=True)
class Outcome:
    """The guard's answer to one probe."""

    route: str = ""
    prefix: str = ""
    refusal: str = ""
    barriers: frozenset[str] = frozenset()
    per_minute: int | None = None

    def is_worse_than(self, before: Outcome) -> bool:
        """Return whether this answer stops a person whom ``before`` did not stop."""
        if before.refusal:
            return False
        return bool(self.refusal or self.barriers - before.barriers)


class Finding(NamedTuple):
    """A probe that the edit stops."""

    probe: Probe
    outcome: Outcome

    def text(self, root: str) -> str:
        """Return the finding as a sentence; ``root`` is the path below which Django is served."""
        method, path = self.probe.facts.method, root + self.probe.path
        if self.outcome.refusal:
            text = _("%(method)s %(path)s would be refused by the route “%(route)s”: %(reason)s.")
            reason = self.outcome.refusal
        else:
            text = _("After %(method)s %(path)s, headers of the route “%(route)s”: %(reason)s.")
            reason = "; ".join(sorted(self.outcome.barriers))
        named = {"method": method, "path": path, "route": self.outcome.route, "reason": reason}
        return text % named


@dataclass(frozen=True, slots=True)
class Lockout:
    """The admin site that an edit would close, and the requests that it would stop."""

    site: AdminPaths
    findings: tuple[Finding, ...]
    root: str

    @property
    def path(self) -> str:
        """The path of the site, as browsers see it."""
        return self.root + self.site.index

    @property
    def texts(self) -> list[str]:
        """The reasons, as sentences."""
        return [found.text(self.root) for found in self.findings]

    @property
    def ways_back(self) -> list[str]:
        """The shell commands that lead back."""
        prefixes = dict.fromkeys(found.outcome.prefix for found in self.findings)
        return [way_back(prefix) for prefix in prefixes]


def way_back(prefix: str) -> str:
    """Return the shell command that switches the route at ``prefix`` off."""
    return f"manage.py apiguard route set {prefix} --mode off"


def _root(request: HttpRequest) -> str:
    """Return ``SCRIPT_NAME``, which browsers see before every path."""
    return request.path.removesuffix(request.path_info)


def find_lockout(request: HttpRequest, before: Snapshot, after: Snapshot) -> Lockout | None:
    """Return what an edit closes of the site that serves ``request``, if anything."""
    site = site_serving(request) if _is_guarded(request) else None
    if site is None:
        return None
    findings = _compare(before, after, list(_probes_here(request, site)))
    return Lockout(site, tuple(findings), _root(request)) if findings else None


def warn_of_other_sites(request: HttpRequest, before: Snapshot, after: Snapshot) -> None:
    """Add a message for each other site that an edit closes, and for limits that are low there."""
    if not _is_guarded(request):
        return
    site = site_serving(request)
    for other in sorted(all_sites(request) | ({site} if site is not None else set())):
        _warn(request, before, after, other, is_serving=other == site)


def _is_guarded(request: HttpRequest) -> bool:
    return hasattr(request, "apiguard") or MIDDLEWARE in django_settings.MIDDLEWARE


def _warn(
    request: HttpRequest, before: Snapshot, after: Snapshot, site: AdminPaths, *, is_serving: bool
) -> None:
    probes = list(_probes_of(request, site))
    if not is_serving:
        findings = _compare(before, after, probes)
        if findings:
            text = _("This edit closes the admin site at %(path)s. %(reason)s To undo it: %(way)s")
            way = way_back(findings[0].outcome.prefix)
            reason = findings[0].text(_root(request))
            named = {"path": _root(request) + site.index, "reason": reason, "way": way}
            add_message(request, messages.WARNING, text % named)
    slow = _slowest(after, probes)
    if slow is not None and slow < FEWEST_PER_MINUTE and slow != _slowest(before, probes):
        text = _(
            "The limits at %(path)s admit %(count)d requests a minute from one person. "
            "The admin needs more than that: raise the limit to at least %(fewest)d per minute."
        )
        count = {"path": _root(request) + site.index, "count": slow, "fewest": FEWEST_PER_MINUTE}
        add_message(request, messages.WARNING, text % count)


def _slowest(snapshot: Snapshot, probes: Sequence[Probe]) -> int | None:
    found = [judge(snapshot, probe).per_minute for probe in probes]
    return min((count for count in found if count is not None), default=None)


def _compare(before: Snapshot, after: Snapshot, probes: Sequence[Probe]) -> list[Finding]:
    found = []
    for probe in probes:
        outcome = judge(after, probe)
        if (outcome.refusal or outcome.barriers) and outcome.is_worse_than(judge(before, probe)):
            found.append(Finding(probe, outcome))
    return found


# -- the requests ---------------------------------------------------------------


def _probes_here(request: HttpRequest, site: AdminPaths) -> Iterator[Probe]:
    """Yield GET and POST of this very form, and the requests that every site needs."""
    get, post = _facts(request)
    yield Probe(request.path_info, get, request.user.pk)
    yield Probe(request.path_info, post, request.user.pk)
    yield from _probes_of(request, site)


def _probes_of(request: HttpRequest, site: AdminPaths) -> Iterator[Probe]:
    get, post = _facts(request)
    login = post._replace(content_type=FORM, content_length="200")
    yield Probe(site.index, get, request.user.pk)
    yield Probe(site.login, get)
    yield Probe(site.login, login)


def _facts(request: HttpRequest) -> tuple[Facts, Facts]:
    """Return the facts of a GET and of a POST from this person's browser, without a credential."""
    post = facts_of(
        request.META,
        "POST",
        conf.current(),
        secure=request.is_secure(),
        host=host_of(request),
    )._replace(authorization=None, api_key=None, requested_method=None, requested_headers=None)
    get = post._replace(
        method="GET", content_length=None, unknown_length="", content_type="", origin=None
    )
    return get, post


# -- judging without effects ------------------------------------------------------


def judge(snapshot: Snapshot, probe: Probe) -> Outcome:
    """Return the answer of ``snapshot`` to a request; nothing is counted, written or looked up."""
    settings = conf.current()
    route = snapshot.routes.find(probe.path)
    if route is None or not route.enforced or settings.exempt_paths.find(probe.path):
        return Outcome()
    context = GuardContext(probe.facts, settings, snapshot, route)
    checks: list[LimitCheck] = []

    def answer(effect: Effect, context: GuardContext) -> Any:
        if not isinstance(effect, LimitCheck):
            return peek(effect, context)
        checks.append(effect)
        return MemoryCounter().check(effect)  # An empty one: nobody has used anything yet.

    verdict = run(pipeline.judge(context), context, answer)
    if not verdict.refused and route.access == "application":
        verdict = run(pipeline.judge_at_view(context, probe.user_pk), context, answer)
    refusal = verdict.refusal
    if refusal is not None:
        reason = f"{refusal.status}, {refusal.detail}"
        return Outcome(route.name, route.prefix, reason, per_minute=_per_minute(checks))
    page = HttpResponse(content_type="text/html; charset=utf-8")
    response.finish(HttpRequest(), context, page)
    barriers = find_barriers(page.headers, probe.facts.secure, probe.facts.host or "")
    return Outcome(route.name, route.prefix, "", frozenset(barriers), _per_minute(checks))


def _per_minute(checks: Sequence[LimitCheck]) -> int | None:
    """Return how many requests one person may send within a minute; ``None``: any number."""
    counts = [
        limit.amount * max(1, 60 // limit.period if limit.period else 1) // cost
        for check in checks
        for limit, cost in zip(check.limits, check.all_costs, strict=True)
        if not (limit.shadow or limit.kind == "concurrent")
    ]
    return min(counts, default=None)
