"""Holds every row that a test run describes of a refused request against that request's secrets.

A row is made of a context alone, which has no query, no cookie and no body; what it has
of secrets are two headers. What is found is reported when the run ends, because a test
that provokes a refusal looks at something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A query's beginning, unless what follows is cut out.
QUERY = re.compile(r"\?[^…\s'\";,]")
SECRET = re.compile(r"(ag_(live|test)_|eyJ)[A-Za-z0-9_.-]{30,}\Z")
# The end of a credential; its beginning may be public, as a key's id is.
SECRET_END = 16


def secrets_of(facts: Any) -> set[str]:
    """Return the ends of all keys and tokens that a request brought, well-formed or not.

    Other text in these headers, which tests also send in all others, is no secret.
    """
    sent = f"{facts.authorization or ''} {facts.api_key or ''}".split()
    return {text[-SECRET_END:] for text in sent if SECRET.match(text)}


def leaks_of(facts: Any, row: Any) -> Iterator[str]:
    """Yield what is wrong with the text of a row."""
    for name, value in row._asdict().items():
        text = str(value)
        if any(secret in text for secret in secrets_of(facts)):
            yield f"{name} holds a part of a credential"
        if QUERY.search(text):
            yield f"{name} holds a query: {text!r}"
        if not text.isprintable():
            yield f"{name} is not printable: {text!r}"


@contextmanager
def every_row_checked() -> Iterator[list[str]]:
    """Check all rows that are described inside the block; the list fills with what was found."""
    from apiguard.request import recording

    found: list[str] = []
    describe = recording._describe

    def checked(context: Any, *arguments: Any) -> Any:
        row = describe(context, *arguments)
        found.extend(f"{row.outcome}: {leak}" for leak in leaks_of(context.facts, row))
        return row

    recording._describe = checked
    try:
        yield found
    finally:
        recording._describe = describe
