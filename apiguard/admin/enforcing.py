"""Trying before enforcing: what a route or a limit would have refused, and a button to enforce it.

A route that observes, and a limit that only counts, refuse nothing. Their pages say since
when, how many requests, and of whom. The button leads to a page that repeats the
numbers; they are kept in the history as the reason of the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import HourlyCount, Limit, ObservedHeader, PolicyChange, Route
from ..models.hourly_counts import COUNTS_KEPT, hour_of
from ..models.state import write_alias
from ..telemetry.formatting import format_moment
from ..telemetry.refusal_search import kept_refusals
from .base import PolicyAdmin
from .confirmation import Confirmation, ConfirmationNeeded
from .edit_validation import EditRefused, begin_edit, validate_edit
from .screens import record_actor
from .shadow_counts import shadow_details

if TYPE_CHECKING:
    Base = PolicyAdmin
else:
    Base = object

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What would have been refused since the trial began.

    ``top`` and ``requests`` have a title and the most frequent values with their numbers.
    Those of ``requests`` come from the refused requests that were kept, so their numbers may
    be smaller. They are of who may view these requests, and stay out of the history, from
    which nobody is erased. ``headers`` says which response headers would be different.
    """

    since: datetime
    count: int
    top: list[tuple[str, list[tuple[str, int]]]]
    requests: list[tuple[str, list[tuple[str, int]]]] = field(default_factory=list)
    headers: tuple[str, ...] = ()

    @property
    def count_text(self) -> str:
        return f"{self.count:,}"

    @property
    def listed(self) -> list[tuple[str, list[str]]]:
        """The most frequent values with their numbers, as text."""
        return _listed([*self.top, *self.requests])

    @property
    def since_text(self) -> str:
        return format_moment(self.since)

    @property
    def summary(self) -> str:
        """The numbers in one paragraph, for the history."""
        parts = [
            _("Tried since %(since)s: %(count)s requests would have been refused.")
            % {"since": self.since_text, "count": self.count_text}
        ]
        parts += [f"{title}: {', '.join(texts)}." for title, texts in _listed(self.top)]
        return " ".join(parts)


def _listed(top: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> list[tuple[str, list[str]]]:
    return [
        (title, [f"{value or '-'} ({number:,})" for value, number in values])
        for title, values in top
    ]


def trial_of_route(route: Route, *, shows_requests: bool) -> Trial:
    """Return what ``route`` would have refused since it observes; a few queries.

    Args:
        shows_requests: whether the refused requests may be read.
    """
    since = _in_mode_since(route, Route.Mode.OBSERVE)
    counts = HourlyCount.objects.filter(route_pk=route.pk, enforced=False)
    # Of the hour in which the trial began, nothing that the route refused is among them.
    counts = counts.filter(hour__gte=hour_of(since))
    reasons = list(counts.order_by().values_list("outcome").annotate(total=Sum("count")))
    reasons.sort(key=lambda row: -row[1])
    named = [(outcome.replace("_", " "), total) for outcome, total in reasons]
    top = [(_("Reasons"), named[:SHOWN])] if named else []
    requests = list(_top_of_requests(route, since)) if shows_requests else []
    headers = [_header_text(row, shows_requests=shows_requests) for row in _observed_headers(route)]
    count = sum(total for _outcome, total in reasons)
    return Trial(since, count, top, requests, tuple(headers))


def _top_of_requests(route: Route, since: datetime) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    kept = kept_refusals().filter(route_pk=route.pk, enforced=False, at__gte=since)
    for title, column in (
        (_("Clients"), "client_slug"),
        (_("Addresses"), "address"),
        (_("Paths"), "path"),
        (_("Origins"), "origin"),
    ):
        values = kept.exclude(**{column: ""}).order_by().values_list(column)
        found = values.annotate(total=Count("pk")).order_by("-total", column)[:SHOWN]
        if listed := list(found):
            yield title, listed


def _observed_headers(route: Route) -> Iterable[ObservedHeader]:
    """Return the headers that enforcing would change, by policy as it is now."""
    revisions = [route.revision]
    if (headers := route.header_policy) is not None:
        revisions += [headers.revision, *headers.headers.values_list("revision", flat=True)]
    if route.cors_policy is not None:
        revisions.append(route.cors_policy.revision)
    return ObservedHeader.objects.of_route(route.pk, max(revisions))


def _header_text(row: ObservedHeader, *, shows_requests: bool) -> str:
    texts = {
        "added": _("%(name)s: %(value)s would be added"),
        "changed": _("%(name)s would become %(value)s"),
        "removed": _("%(name)s would be removed"),
    }
    text = texts[row.change] % {"name": row.name, "value": row.value}
    if not shows_requests:
        return text
    return _("%(text)s, as in the response to %(example)s") % {"text": text, "example": row.example}


def trial_of_limit(limit: Limit) -> Trial:
    """Return what ``limit`` would have refused in the last 24 hours, and of whom."""
    since = max(_in_mode_since(limit, Limit.Mode.SHADOW), timezone.now() - timedelta(days=1))
    total = shadow_details([limit.pk]).get(limit.pk)
    if total is None:
        return Trial(since, 0, [])
    return Trial(since, total.count, [], [(_("Callers"), list(total.most))])


def _in_mode_since(row: Any, mode: str) -> datetime:
    """Return since when ``row`` is in ``mode``, as far as numbers are kept."""
    kept = timezone.now() - COUNTS_KEPT
    changes = PolicyChange.objects.using(write_alias()).filter(
        model=row._meta.label_lower, object_pk=str(row.pk)
    )
    for change in changes.order_by("-revision", "-id")[:100]:
        if (change.after or {}).get("mode") == mode:
            return max(change.at, kept)
    return kept


def may_view_requests(request: HttpRequest) -> bool:
    """Return whether the user may read refused requests: who called, from where, which paths."""
    return bool(request.user.has_perm("apiguard.view_refusal"))


class EnforceMixin(Base):
    """Mixin of a screen with the page "Enforce" of its rows, or of rows inside them."""

    enforce_path = "<path:object_id>"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.enforce_view)
        name = f"apiguard_{self.opts.model_name}_enforce"
        return [path(f"{self.enforce_path}/enforce/", view, name=name), *super().get_urls()]

    def enforced_row(self, parent: Any, pk: int) -> Any:
        """Return the row to enforce; ``None`` where it is not on trial."""
        return parent if parent.mode == Route.Mode.OBSERVE else None

    def may_enforce(self, request: HttpRequest, parent: Any) -> bool:
        """Return whether the user may change the row."""
        return self.has_change_permission(request, parent)

    def trial(self, request: HttpRequest, row: Any) -> Trial:
        """Return what the row would have refused, as far as the user may know."""
        return trial_of_route(row, shows_requests=may_view_requests(request))

    def enforce_view(self, request: HttpRequest, object_id: str, pk: int = 0) -> HttpResponse:
        """Show the numbers on GET; on POST enforce, with the numbers as the reason."""
        parent = self.get_object(request, unquote(object_id))
        if parent is None:
            raise Http404
        if not self.may_enforce(request, parent):
            raise PermissionDenied
        row = self.enforced_row(parent, pk)
        change = f"admin:apiguard_{self.opts.model_name}_change"
        back = reverse(change, args=[parent.pk], current_app=self.admin_site.name)
        if row is None:
            messages.info(request, _("It is not on trial: nothing was changed."))
            return HttpResponseRedirect(back)
        trial = self.trial(request, row)
        error, confirmation = "", None
        if request.method == "POST":
            error, confirmation = self._enforce(request, parent, row, trial)
            if not error and confirmation is None:
                messages.success(request, _("“%s” is enforced from now on.") % row)
                return HttpResponseRedirect(back)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Enforce “%s”") % row,
            "opts": self.opts,
            "parent": parent,
            "back": back,
            "trial": trial,
            "error": error,
            "confirmation": confirmation,
        }
        return TemplateResponse(request, "admin/apiguard/enforce.html", context)

    def _enforce(
        self, request: HttpRequest, parent: Any, row: Any, trial: Trial
    ) -> tuple[str, Confirmation | None]:
        """Enforce ``row``; return why that was refused, or what is to be confirmed first."""
        form: Any = self.get_form(request, parent, change=True)(instance=parent)
        using = router.db_for_write(self.model)
        try:
            with record_actor(request, reason=trial.summary), transaction.atomic(using=using):
                begin_edit(request)
                # As it is now that nobody else changes policy; it was read before.
                stored = type(row)._base_manager.using(using).filter(pk=row.pk).first()
                if stored is None or stored.mode != row.mode:
                    return _("Somebody changed it meanwhile: it is not on trial any more."), None
                stored.mode = "enforce"
                stored.save(using=using, update_fields=["mode"])
                validate_edit(request, form, [])
                self.log_change(request, parent, [{"changed": {"fields": ["mode"]}}])
        except EditRefused as refused:
            return " ".join(_messages(refused)), None
        except ConfirmationNeeded as needed:
            return "", needed.confirmation
        return "", None


def _messages(refused: EditRefused) -> Sequence[str]:
    return [text for _field, error in refused.refusal.form for text in error.messages]
