"""Find a refused request by its id, or say why it may not be among the rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import conf
from ..models import HourlyCount, Refusal
from ..models.refusals import RefusalQuerySet
from ..models.state import write_alias
from .formatting import format_moment
from .refusal_sample import PER_SECOND

DAY = timedelta(days=1)
# A part of an id that is shorter fits too many.
SHORTEST_PART = 4


def kept_refusals() -> RefusalQuerySet:
    """Return all rows, from the database that they are written to."""
    return Refusal.objects.using(router.db_for_write(Refusal))


def find_refusals(text: str, most: int) -> list[Refusal]:
    """Return the newest ``most`` refused requests with this id; if none has it, with part of it."""
    text = text.strip()
    rows = kept_refusals()
    exact = list(rows.filter(request_id=text)[:most]) if text else []
    if exact or len(text) < SHORTEST_PART:
        return exact
    return list(rows.filter(request_id__contains=text)[:most])


def why_not_found(text: str) -> Iterator[str]:
    """Yield each reason why a request id may not be among the rows, the likeliest first."""
    settings = conf.current()
    if len(text.strip()) < SHORTEST_PART:
        yield _("A part of an id has at least %d characters.") % SHORTEST_PART
    if not settings.keeps_refusals:
        yield _(
            "Refused requests are not kept: REFUSALS_KEEP_DAYS or REFUSALS_KEEP_ROWS is 0. "
            "The log has a line for each."
        )
        return
    if settings.testing:
        yield _("apiguard runs as in tests, so nothing is written. See the setting TESTING.")
    yield _(
        "The request was not refused: only refused requests are kept, those that the view itself "
        "answered with 401, 403 or 429 among them. A 404 or a 500 is in the server's log."
    )
    yield _(
        "It was refused within the last three seconds: rows are written when their second is over."
    )
    yield from _too_old()
    unkept = HourlyCount.objects.using(write_alias()).unkept_since(timezone.now() - DAY)
    if unkept:
        text = ngettext(
            "Each worker keeps at most %(most)d refused requests a second, identified callers "
            "first. In the last 24 hours %(count)s more was counted, and is in the log only.",
            "Each worker keeps at most %(most)d refused requests a second, identified callers "
            "first. In the last 24 hours %(count)s more were counted, and are in the log only.",
            unkept,
        )
        yield text % {"most": PER_SECOND, "count": f"{unkept:,}"}
    yield (
        _("The id is another one: that of a proxy, or shortened. Ask for the response header %s.")
        % settings.request_id_header
    )


def _too_old() -> Iterator[str]:
    settings = conf.current()
    oldest = kept_refusals().order_by("at").values_list("at", flat=True).first()
    days = settings.refusals_keep_days
    kept = ngettext("%d day", "%d days", days) % days
    most = f"{settings.refusals_keep_rows:,}"
    if oldest is None:
        yield _("No refused request is kept yet. Rows are kept for %s.") % kept
    else:
        yield _(
            "It is older than what is kept: %(kept)s, and %(most)s rows at most. The oldest row is "
            "from %(oldest)s."
        ) % {
            "kept": kept,
            "most": most,
            "oldest": format_moment(oldest),
        }
