"""The cheap rules: methods, lengths, media types, Accept. Empty rule: not checked.

In the order of the table of refusals: what is wrong with the request itself
comes before what the route does not want. Two things are always checked: a
length, and a charset that Django cannot read in.
"""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache

from django.utils.http import parse_header_parameters

from ..policy.snapshot import RoutePolicy
from ..rules.accept import satisfies
from ..rules.media import accepted
from .context import GuardContext
from .facts import Facts
from .verdict import Outcome, Verdict

# Longer than any media type with its parameters; parsing one of 60 KB takes milliseconds.
MAX_CONTENT_TYPE = 1024
_DIGITS = re.compile(r"[0-9]{1,19}\Z")


def check_content(context: GuardContext) -> Verdict | None:
    """Return the verdict on the first rule of the route that the request breaks."""
    route, facts = context.route, context.facts
    if route is None:
        return None
    if facts.content_length is not None and not _DIGITS.match(facts.content_length):
        return Verdict(Outcome.BAD_CONTENT_LENGTH, reason=repr(facts.content_length[:50]))
    if facts.content_length is not None and facts.unknown_length:
        # RFC 9112 section 6.1: two lengths are how requests are smuggled.
        return Verdict(Outcome.BAD_CONTENT_LENGTH, reason="beside Transfer-Encoding")
    if facts.host is None:
        return Verdict(Outcome.HOST_NOT_ALLOWED)
    if route.methods and facts.method not in route.methods:
        return Verdict(
            Outcome.METHOD_NOT_LISTED,
            reason=f"{facts.method!r} is not listed",
            headers=(("Allow", route.allow),),
        )
    return _judge_body(route, facts) or _judge_accept(route, facts)


def _judge_body(route: RoutePolicy, facts: Facts) -> Verdict | None:
    length = int(facts.content_length or 0)
    if facts.unknown_length == "endless":
        return Verdict(Outcome.LENGTH_REQUIRED, reason="the server does not end chunked bodies")
    if len(facts.content_type) > MAX_CONTENT_TYPE:
        return _not_accepted(route, facts, "is too long")
    if ";" in facts.content_type and _is_unreadable(facts.content_type):
        return _not_accepted(route, facts, "names a charset that no text is in")
    if not length and not facts.unknown_length:
        return None
    if route.accepts and not accepted(facts.content_type, route.accepts):
        return _not_accepted(route, facts, "is not listed")
    if route.max_body_bytes is not None and length > route.max_body_bytes:
        return too_large(route.max_body_bytes)
    return None


def _is_unreadable(content_type: str) -> bool:
    """Whether Django would read even the query string in a codec that is none for text.

    Django takes any codec of Python's, with a body or without, and fails over
    ``hex``, ``zlib`` or ``idna`` with a 500. It ignores a charset that is no codec.
    """
    if "charset" not in content_type.lower():
        return False
    try:
        charset = parse_header_parameters(content_type)[1].get("charset", "")
    except ValueError:
        return False
    # Not looked up: Python keeps every name that a codec was ever looked up by.
    name = normalize_encoding(charset.lower())
    codecs_of_bytes = _codecs_of_bytes()
    return name in codecs_of_bytes or name.replace(".", "_") in codecs_of_bytes


@cache
def _codecs_of_bytes() -> frozenset[str]:
    """Return the names of Python's codecs that cannot read every text that is sent."""
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    named = {name for name in modules if _cannot_read(name)}
    return frozenset(named | {alias for alias, name in aliases.items() if name in named})


def _cannot_read(codec: str) -> bool:
    try:
        codecs.lookup(codec)
    except (LookupError, ValueError):
        return False  # A module beside the codecs.
    try:
        _BYTES.decode(codec, "replace")
    except (LookupError, ValueError):
        return True
    return False


# Not ASCII, and something of everything that a query string may hold.
_BYTES = b"a-b=%&\xff\x80\xc3"


def _not_accepted(route: RoutePolicy, facts: Facts, why: str) -> Verdict:
    headers = [("Accept", route.accept)] if route.accepts else []
    if headers and facts.method == "PATCH":
        headers.append(("Accept-Patch", route.accept))
    return Verdict(
        Outcome.MEDIA_TYPE_NOT_ACCEPTED,
        reason=f"{facts.content_type[:100]!r} {why}",
        headers=tuple(headers),
    )


def too_large(limit: int) -> Verdict:
    """Return the verdict on a body of more than ``limit`` bytes."""
    return Verdict(
        Outcome.BODY_TOO_LARGE, detail=f"The body is larger than the limit of {limit} bytes"
    )


def _judge_accept(route: RoutePolicy, facts: Facts) -> Verdict | None:
    if not route.produces or facts.accept is None or satisfies(facts.accept, route.produces):
        return None
    return Verdict(Outcome.NOT_ACCEPTABLE, reason=f"Accept is {facts.accept[:200]!r}")
