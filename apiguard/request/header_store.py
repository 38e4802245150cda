"""A response's headers as Django keeps them, for headers that are rendered already.

``response.headers[name] = value`` encodes, checks and lower-cases both on every
write, which for some twenty headers costs more than judging the request. What
policy writes was checked when it was compiled, so it is put where Django puts
it: into the table behind ``ResponseHeaders``. When the response leaves, Django
reads them out one by one, lower-cases each name and looks it up; the table has
them side by side.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django.http.response import HttpResponseBase, ResponseHeaders

Store = MutableMapping[str, tuple[str, str]]


def store_of(response: HttpResponseBase) -> Store:
    """Lower-case name -> (name, value); writes to it are sent as they stand.

    Only for names and values that are known to be a header's: Latin-1, and
    without line breaks.
    """
    store: Store = response.headers._store
    return store


class ReadAtOnce(ResponseHeaders):
    """The same headers, of which ``items()`` costs the same however many there are."""

    def items(self) -> Any:
        """Pairs of name and value, in order."""
        return self._store.values()

    def __reduce__(self) -> Any:
        # In a cache they outlive this package.
        return ResponseHeaders, (dict(self.items()),)


def read_at_once(response: HttpResponseBase) -> None:
    """Let a server read the headers of a response without looking each of them up."""
    if type(response.headers) is ResponseHeaders:
        response.headers.__class__ = ReadAtOnce
