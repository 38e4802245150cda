"""The page "Explain a request": what the guard would answer, stage by stage.

The form is sent by POST and nothing of it is stored. The credential is judged and
forgotten: no log, message, session or URL holds it, and no page repeats it.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from .. import conf
from ..policy import lookups
from ..policy.records import KeyRecord
from ..policy.snapshot import empty
from ..request.described import BadDescription, build_request, credential_headers
from ..request.explain import explain_request
from ..request.explanation import Explanation, Step
from ..request.reasons import RowRef
from ..request.remedies import find_remedy
from ..rules.jwt import MAX_TOKEN_LENGTH
from .base import current_snapshot
from .display import badge, model_label
from .keys.pages import uncached
from .row_links import form_urls
from .site_pages import add_page

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MAX_VALUE = 2000
STAGES = {
    "address": _("Address"),
    "route": _("Route"),
    "cors": _("CORS"),
    "content": _("Content rules"),
    "credentials": _("Credentials"),
    "policy": _("State of the policy"),
    "limits": _("Limits"),
    "access": _("Access"),
    "view_limits": _("Limits at the view"),
}
RESULTS = {
    "passed": (_("passed"), "good"),
    "refused": (_("refused"), "bad"),
    "would_refuse": (_("would refuse"), "warn"),
    "answered": (_("answered"), "good"),
    "not_reached": (_("not reached"), "quiet"),
}
_UNSEEN = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


def _line(label: Any, help_text: Any = "", initial: str = "") -> forms.CharField:
    """Return a text field that is sent as a header, or left out if it is empty."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        initial=initial,
        max_length=MAX_VALUE,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField", **_UNSEEN}),
    )


class ExplainForm(forms.Form):
    """The request to explain; a credential is not shown again."""

    method = forms.ChoiceField(
        label=_("Method"), choices=[(name, name) for name in METHODS], initial="GET"
    )
    path = forms.CharField(
        label=_("Path"),
        help_text=_("Or a whole URL, for another host or scheme than this page's."),
        max_length=MAX_VALUE,
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True, **_UNSEEN}),
    )
    client = _line(_("As client"), _("Slug; judged as if it brought a valid key of this client."))
    key = _line(_("With key"), _("Key id of that client; empty: any valid one."))
    credential = forms.CharField(
        label=_("Or credential"),
        help_text=_("A key or a token. It is not stored, not logged and not shown again."),
        max_length=2 * MAX_TOKEN_LENGTH,
        required=False,
        widget=forms.PasswordInput(
            attrs={"class": "vTextField", **_UNSEEN, "autocomplete": "new-password"}
        ),
    )
    origin = _line("Origin", _("The website that sends the request; empty: no browser does."))
    content_type = _line("Content-Type", _("Empty: no body. Else a body of one byte is assumed."))
    accept = _line("Accept")
    address = _line(_("Address"), _("IP address of the caller."))

    records: list[KeyRecord]
    request: HttpRequest

    def __init__(self, *args: Any, page: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._page = page

    def clean_client(self) -> str:
        """Read the client's keys.

        Raises:
            ValidationError: there is no such client, or the database does not answer.
        """
        slug: str = self.cleaned_data["client"]
        self.records = []
        if slug:
            try:
                self.records = lookups.read_client_keys(current_snapshot() or empty(), slug)
            except lookups.LookUpFailed as error:
                raise ValidationError(_("The database does not answer.")) from error
            if not self.records:
                raise ValidationError(_("There is no client with this slug."))
        return slug

    @sensitive_variables()
    def clean(self) -> None:
        """Build the request.

        Raises:
            ValidationError: it cannot be one, or names a client and a credential.
        """
        given = self.cleaned_data
        if given.get("key") and "client" in given:
            self._choose_key(given["key"])
        if given.get("client") and given.get("credential"):
            raise ValidationError(_("Give a client or a credential, not both."))
        if self.errors:
            return
        names = {"origin": "Origin", "content_type": "Content-Type", "accept": "Accept"}
        headers = {header: given[name] for name, header in names.items() if given[name]}
        if given["content_type"]:
            headers["Content-Length"] = "1"
        if given["credential"]:
            headers |= credential_headers(given["credential"], conf.current())
        try:
            self.request = build_request(
                given["method"],
                given["path"],
                headers=headers,
                address=given["address"] or "127.0.0.1",
                host=self._page.get_host(),
                secure=self._page.is_secure(),
            )
        except BadDescription as error:
            raise ValidationError(str(error)) from error

    def _choose_key(self, key_id: str) -> None:
        self.records = [each for each in self.records if each.key_id == key_id]
        if not self.records:
            self.add_error("key", _("The client has no key with this id."))


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/explain/" to ``site``, unless ``site`` has it."""
    add_page(site, "explain", explain_view)


@sensitive_post_parameters("credential")
def explain_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the form on GET, filled in from the query; on POST the explanation above it."""
    if not request.user.has_perm("apiguard.explain_request"):
        raise PermissionDenied
    explained: Explanation | None = None
    if request.method == "POST":
        form = ExplainForm(request.POST, page=request)
        if form.is_valid():
            explained = explain_request(form.request, records=form.records)
            # The answer stands above the form, and focus would scroll past it.
            del form.fields["path"].widget.attrs["autofocus"]
    else:
        names = [name for name in ExplainForm.base_fields if name != "credential"]
        initial = {name: request.GET[name] for name in names if name in request.GET}
        form = ExplainForm(
            initial={"address": request.META.get("REMOTE_ADDR"), **initial}, page=request
        )
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": _("Explain a request"),
        "form": form,
        "explained": explained,
        **(_shown(request, site, explained) if explained else {}),
    }
    return uncached(TemplateResponse(request, "admin/apiguard/explain.html", context))


def _shown(request: HttpRequest, site: AdminSite, explained: Explanation) -> dict[str, Any]:
    rows = [step.row for step in explained.steps] + [one.row for one in explained.limits]
    urls = form_urls(request, site, [(row.model, row.pk) for row in rows if row is not None])

    def link(row: RowRef | None) -> dict[str, Any] | None:
        if row is None:
            return None
        return {"kind": model_label(row.model), "name": row.name, "url": urls[row.model, row.pk]}

    def shown(step: Step) -> dict[str, Any]:
        text, tone = RESULTS[step.result]
        stage = STAGES.get(step.stage, step.stage)
        return {
            "stage": stage,
            "badge": badge(str(text), tone),
            "step": step,
            "row": link(step.row),
        }

    deciding = explained.deciding
    return {
        "remedy": find_remedy(explained.outcome) if explained.would_refuse else "",
        "decided": link(None if deciding is None else deciding.row),
        "steps": [shown(step) for step in explained.steps],
        "limits": [{"state": one, "row": link(one.row)} for one in explained.limits],
    }
