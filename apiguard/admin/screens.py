"""What all screens have in common: a recorded author, lists that bear any query, messages.

Every write is recorded in the history under the name of the signed-in user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import DataError, NotSupportedError, router
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from ..models import acting
from ..models.state import one_revision
from .conflict_retry import add_message, retry_conflicts
from .time_limit import in_time

if TYPE_CHECKING:
    # Django's classes take no subscript at run time.
    StockAdmin = admin.ModelAdmin[Any]
else:
    StockAdmin = admin.ModelAdmin

REASON = "change_reason"
"""The name of the box that every form and confirmation has."""
LONGEST_REASON = 1000


def given_reason(request: HttpRequest) -> str:
    """Return what was typed into the box for the reason, or into a row's own field for it."""
    typed = request.POST.get(REASON) or request.POST.get("reason") or ""
    # PostgreSQL refuses NUL in a text.
    return str(typed).replace("\x00", "").strip()[:LONGEST_REASON]


@contextmanager
def record_actor(request: HttpRequest, reason: str = "") -> Iterator[None]:
    """Record all writes inside the block under the signed-in user, as one revision.

    Args:
        reason: why; empty: what was typed into the box of the form.
    """
    request_id = getattr(getattr(request, "apiguard", None), "request_id", "") or ""
    user = request.user if request.user.is_authenticated else None
    reason = reason or given_reason(request)
    with acting(user, request_id=request_id, reason=reason), one_revision():
        yield


class Screen(StockAdmin):
    """Base class of all screens of apiguard.

    Class attributes:
        about: one sentence above the list: the purpose of the rows.
        when_empty: the text shown instead of an empty list.
    """

    about: ClassVar[Any] = ""
    when_empty: ClassVar[Any] = _("There are none yet.")

    class Media:
        css = {"all": ["apiguard/admin.css"]}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"about": self.about, "when_empty": self.when_empty, **(extra_context or {})}
        return self.confirmed(request, partial(super().changelist_view, request, context))

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the rows that the query selects.

        Raises:
            IncorrectLookupParameters: the query cannot be answered; Django then shows all rows.
        """
        if any("\x00" in value for values in request.GET.lists() for value in values[1]):
            raise IncorrectLookupParameters  # PostgreSQL refuses this character.
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError, DataError, NotSupportedError) as error:
            # Such as a year that no calendar has, or a comparison that this database has not.
            raise IncorrectLookupParameters from error

    def confirmed(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        """Return the response of ``view``, which may run an action that needs a confirmation."""
        with record_actor(request):
            return self.retry_conflicts(request, view)

    def retry_conflicts(
        self, request: HttpRequest, view: Callable[[], HttpResponse]
    ) -> HttpResponse:
        """Return the response of ``view``; see ``conflict_retry``."""
        return retry_conflicts(request, router.db_for_write(self.model), view)

    def message_user(
        self,
        request: HttpRequest,
        message: Any,
        level: int | str = messages.INFO,
        extra_tags: str = "",
        fail_silently: bool = False,
    ) -> None:
        """Show a message on the next page; of an edit that is not committed, none."""
        number = level if isinstance(level, int) else messages.DEFAULT_LEVELS[level.upper()]
        add_message(request, number, message, extra_tags)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # A digest that can be filtered by can be guessed character by character.
        if "digest" in lookup or "pepper" in lookup:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]


class RecordAdmin(Screen):
    """Base class of screens whose rows record what happened: nobody edits them."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown = partial(super().changelist_view, request, extra_context)
        return in_time(request, self.admin_site, shown)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
