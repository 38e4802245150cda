"""Response headers that are no longer sent, or no longer removed."""

from __future__ import annotations

from collections.abc import Iterator

from ..snapshot import HeaderWrites, RouteHeaders
from .statements import WHERE, Draft, Kind, listed

ADVERTISING = frozenset({"server", "x-powered-by"})
"""Headers whose removal takes nothing from anybody."""

# Rows may be for some types only; these stand for all of them.
_TYPES = (
    "",
    "application/json",
    "application/octet-stream",
    "image/png",
    "text/css",
    "text/html",
    "text/plain",
)


def compare_headers(old: RouteHeaders, new: RouteHeaders, prefix: str) -> Iterator[Draft]:
    """Yield what responses under ``prefix`` lose."""
    if old == new:
        return
    lost: dict[str, str] = {}
    kept: dict[str, str] = {}
    removed: dict[str, str] = {}
    changed: dict[str, str] = {}
    for before, after in _pairs(old, new):
        written, now = _written(before), _written(after)
        for key, (name, value) in written.items():
            if key not in now:
                lost[key] = name
            elif now[key][1] != value or _is_weaker(before, after, key):
                changed[key] = name
        kept |= {key: key for key in before.remove if key not in after.remove and key not in now}
        removed |= {key: key for key in after.remove if key not in before.remove}
    for key in (*lost, *ADVERTISING):
        removed.pop(key, None)
    drafts = (
        (Kind.REMOVES, "headers_lost", lost, "Responses of {} lose the headers {}."),
        (Kind.OPENS, "headers_kept", kept, "Responses of {} are sent with {} again."),
        (Kind.REMOVES, "headers_removed", removed, "The headers {1} of views under {0} disappear."),
    )
    for kind, code, found, text in drafts:
        if found:
            yield Draft(kind, code, text.format(WHERE, listed(sorted(found.values()), 10)), prefix)
    if changed:
        text = f"Responses of {WHERE} have other values of {listed(sorted(changed.values()), 10)}."
        yield Draft(Kind.CHANGES, "headers_changed", text, prefix, confirm=False)


def _pairs(old: RouteHeaders, new: RouteHeaders) -> Iterator[tuple[HeaderWrites, HeaderWrites]]:
    types = _TYPES if old.by_type or new.by_type else ("",)
    for content_type in types:
        before, after = _of_type(old, content_type), _of_type(new, content_type)
        yield before.http, after.http
        yield before.https, after.https


def _of_type(headers: RouteHeaders, content_type: str) -> RouteHeaders:
    return headers if headers.by_type is None else headers.by_type(content_type)


def _written(writes: HeaderWrites) -> dict[str, tuple[str, str]]:
    return {**writes.all_defaults, **writes.force}


def _is_weaker(before: HeaderWrites, after: HeaderWrites, key: str) -> bool:
    return key in before.force and key not in after.force
