"""Origins that a change of policy newly admits, by comparing the compiled CORS matchers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ...rules.headers import SAFELISTED_METHODS
from ...rules.origins import OriginSet, parse_pattern
from ..snapshot import Cors
from .statements import WHERE, Draft, Kind, listed

_EXPOSED = "access-control-expose-headers"
_CREDENTIALS = "access-control-allow-credentials"


def compare_cors(old: Cors | None, new: Cors | None, prefix: str) -> Iterator[Draft]:
    """Yield the differences of two CORS policies that are in force under ``prefix``."""
    if new is None:
        if old is not None:
            text = f"The Origin header is no longer checked under {WHERE} (no CORS policy)."
            yield Draft(Kind.OPENS, "cors_removed", text, prefix)
        return
    if old is None:
        yield from _first_policy(new, prefix)
        return
    yield from _compare_origins(old.origins, new.origins, prefix)
    if old.refuse_foreign and not new.refuse_foreign:
        text = f"Requests of foreign origins are no longer refused under {WHERE}."
        yield Draft(Kind.OPENS, "foreign_served", text, prefix)
    elif new.refuse_foreign and not old.refuse_foreign:
        text = f"Requests of foreign origins are refused under {WHERE}."
        yield Draft(Kind.CLOSES, "foreign_refused", text, prefix)
    yield from _compare_grants(old, new, prefix)


def _first_policy(new: Cors, prefix: str) -> Iterator[Draft]:
    origins = new.origins.texts()
    if origins:
        text = f"{_websites(origins)} may read responses under {WHERE}."
        yield Draft(Kind.OPENS, "origins_admitted", text, prefix)
    if new.refuse_foreign:
        text = f"Requests of all other origins are refused under {WHERE}."
        yield Draft(Kind.CLOSES, "foreign_refused", text, prefix)


def _websites(texts: Iterable[str]) -> str:
    found = sorted(texts)
    return "Every website" if "*" in found else f"Pages of {listed(found)}"


def _compare_origins(old: OriginSet, new: OriginSet, prefix: str) -> Iterator[Draft]:
    if old is new:
        return
    admitted, refused = _moved(old, new)
    if admitted:
        what = "every website" if "*" in admitted else listed(admitted)
        text = f"Newly admits {what} on {WHERE}."
        yield Draft(Kind.OPENS, "origins_admitted", text, prefix)
    if refused:
        what = "every website that is not listed" if "*" in refused else listed(refused)
        text = f"No longer admits {what} on {WHERE}."
        yield Draft(Kind.CLOSES, "origins_removed", text, prefix)


@lru_cache(maxsize=4)
def _moved(old: OriginSet, new: OriginSet) -> tuple[list[str], list[str]]:
    """Return the patterns that only the new matcher admits, and those that only the old did."""
    before, after = old.texts(), new.texts()
    admitted = [text for text in after - before if not old.covers(parse_pattern(text))]
    refused = [text for text in before - after if not new.covers(parse_pattern(text))]
    return sorted(admitted), sorted(refused)


def _compare_grants(old: Cors, new: Cors, prefix: str) -> Iterator[Draft]:
    """Yield what admitted websites may do, beside reading responses."""
    pairs = (
        ("methods", old.methods - SAFELISTED_METHODS, new.methods - SAFELISTED_METHODS),
        ("request headers", old.headers, new.headers),
        ("response headers", _exposed(old), _exposed(new)),
    )
    for noun, before, after in pairs:
        if after - before:
            text = f"Websites may use the {noun} {listed(sorted(after - before))} on {WHERE}."
            yield Draft(Kind.OPENS, "cors_granted", text, prefix)
        if before - after:
            lost = listed(sorted(before - after))
            text = f"Websites may no longer use the {noun} {lost} on {WHERE}."
            yield Draft(Kind.CLOSES, "cors_withdrawn", text, prefix)
    if (_CREDENTIALS in new.response_grants) != (_CREDENTIALS in old.response_grants):
        if _CREDENTIALS in new.response_grants:
            text = f"Admitted websites may send cookies and sign-ins to {WHERE}."
            yield Draft(Kind.OPENS, "cors_credentials", text, prefix)
        else:
            text = f"Websites may no longer send cookies and sign-ins to {WHERE}."
            yield Draft(Kind.CLOSES, "cors_credentials", text, prefix)


def _exposed(cors: Cors) -> frozenset[str]:
    _, value = cors.response_grants.get(_EXPOSED, ("", ""))
    return frozenset(name.strip().lower() for name in value.split(",") if name.strip())
