"""What enforcing a route would change in the headers of a response that it only observes.

A route that observes changes nothing, so a finding needs a comparison: the response is
copied, the copy is finished as if the route were enforced, and the headers of both are
compared. One comparison per view, kind of status and set of headers is enough, so most
requests cost one look-up in a table.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal, NamedTuple

from django.http import HttpRequest
from django.http.response import HttpResponseBase, ResponseHeaders

from ..bounded_cache import BoundedCache
from ..rules.redaction import redact_url
from ..telemetry.buffer import buffer
from . import response as responses
from .context import GuardContext

# Kinds of responses that this process has compared; forgotten ones are compared once more.
MAX_COMPARED = 2_000


class HeaderChange(NamedTuple):
    """One header that enforcing would add, change or remove; ``value`` is what it would be."""

    name: str
    change: Literal["added", "changed", "removed"]
    value: str = ""


_compared: BoundedCache[tuple[object, ...], bool] = BoundedCache(MAX_COMPARED)


def record_header_changes(
    request: HttpRequest, context: GuardContext, response: HttpResponseBase
) -> None:
    """Record the changes of a response whose like was not compared before."""
    route = context.route
    if route is None or context.enforced or context.verdict.refused:
        return  # A response that would not be sent has no headers to compare.
    match = request.resolver_match
    kind = (
        context.snapshot.stamp,
        route.pk,
        "" if match is None else match.route,
        response.status_code // 100,
        frozenset(response.headers),
        context.credential is None,
        context.facts.origin is None,
    )
    if _compared.get(kind):
        return
    _compared.put(kind, True)
    example = redact_url(
        f"{request.method} {request.path_info}", context.settings.key_namespace, 500
    )
    for change in find_changes(request, context, response):
        buffer.header(route.pk, *change, example=example, revision=context.snapshot.revision or 0)


def find_changes(
    request: HttpRequest, context: GuardContext, response: HttpResponseBase
) -> Iterator[HeaderChange]:
    """Yield each header that ``response`` would have differently; the response stays as it is."""
    finished = copy.copy(response)
    finished.headers = ResponseHeaders(dict(response.headers.items()))
    responses.finish(request, context, finished)
    before = {name.lower(): value for name, value in response.headers.items()}
    after = {name.lower(): (name, value) for name, value in finished.headers.items()}
    for key, (name, value) in after.items():
        if key not in before:
            yield HeaderChange(name, "added", value)
        elif before[key] != value:
            yield HeaderChange(name, "changed", value)
    for name in response.headers:
        if name.lower() not in after:
            yield HeaderChange(name, "removed")
