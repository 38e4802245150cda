"""What a route can reach: the paths of the project's URLconf, and no WebSockets.

A route whose prefix covers no URL pattern guards nothing, often because the prefix
has the context path (``SCRIPT_NAME``) or lacks the language. Patterns are compared
as far as their text is fixed; where it is not, they may match anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern
from django.utils import translation

MOST_SUGGESTIONS = 3

# Where the fixed text of a pattern ends. A quantifier makes the character before it variable.
_VARIABLE_ROUTE = re.compile("<")
_VARIABLE_REGEX = re.compile(r".?[?*{]|[\\<>()\[\]+|.$]")


def has_channels() -> bool:
    """Whether Django Channels is installed; WebSockets do not pass through middleware."""
    installed = [str(app).partition(".")[0] for app in settings.INSTALLED_APPS]
    return "channels" in installed or hasattr(settings, "CHANNEL_LAYERS")


class FixedPath(NamedTuple):
    """The fixed beginning of the paths that one pattern matches."""

    text: str
    is_whole: bool
    """Whether the pattern matches this text alone."""

    def may_be_under(self, prefix: str) -> bool:
        """Whether a path of this pattern can be one that ``prefix`` covers."""
        if self.text.startswith(prefix) or self.text == prefix[:-1]:
            return True
        return not self.is_whole and prefix.startswith(self.text)


def covers_a_pattern(prefix: str) -> bool:
    """Whether a URL pattern, or the files of the project, can have a path under ``prefix``."""
    files = [urlsplit(str(url or "")).path for url in (settings.STATIC_URL, settings.MEDIA_URL)]
    if any(len(path) > 1 and prefix.startswith(path) for path in files):
        return True  # WhiteNoise and its like serve them without a pattern.
    paths = fixed_paths()
    return paths is None or any(path.may_be_under(prefix) for path in paths)


def suggest_prefixes(prefix: str) -> list[str]:
    """Return the prefixes that may be meant: with a language or path before, or without."""
    found = {
        path.text[: at + len(prefix)]
        for path in fixed_paths() or ()
        if (at := path.text.find(prefix)) > 0
    }
    segments = prefix.strip("/").split("/")
    shorter = ("/" + "/".join(segments[start:]) + "/" for start in range(1, len(segments)))
    found |= {each for each in shorter if covers_a_pattern(each)}
    return sorted(found)[:MOST_SUGGESTIONS]


def fixed_paths() -> frozenset[FixedPath] | None:
    """Return the paths of all patterns, in every language; ``None`` without a URLconf."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return None
    default = settings.LANGUAGE_CODE
    others = [code for code, _name in settings.LANGUAGES] if settings.USE_I18N else []
    try:
        return _fixed_paths(get_resolver(), (default, *others))
    except (ImportError, ImproperlyConfigured):
        return None  # Django reports it.


# One URLconf is walked once; Django keeps the resolver until the URLconf changes.
@lru_cache(maxsize=4)
def _fixed_paths(resolver: URLResolver, codes: tuple[str, ...]) -> frozenset[FixedPath]:
    found: set[FixedPath] = set()
    for code in codes:
        with translation.override(code):
            found.update(_walk(resolver, "/"))
    return frozenset(found)


def _walk(resolver: URLResolver, before: str) -> Iterator[FixedPath]:
    for child in resolver.url_patterns:
        text, is_fixed = _fixed_text(child.pattern)
        path = before + text
        if isinstance(child, URLPattern):
            yield FixedPath(path, is_fixed and _ends(child))
        elif is_fixed:
            yield from _walk(child, path)
        else:
            yield FixedPath(path, is_whole=False)


def _fixed_text(pattern: object) -> tuple[str, bool]:
    """Return the fixed beginning of a pattern, and whether that is all of it."""
    text = str(pattern)
    if isinstance(pattern, LocalePrefixPattern):
        return text, True
    if not isinstance(pattern, RegexPattern):
        found = _VARIABLE_ROUTE.search(text)
        return (text, True) if found is None else (text[: found.start()], False)
    text = re.sub(r"(\$|\\Z)$", "", text.removeprefix("^"))
    if "|" in text:
        return "", False
    found = _VARIABLE_REGEX.search(text)
    return (text, True) if found is None else (text[: found.start()], False)


def _ends(child: URLPattern) -> bool:
    """Whether nothing may follow what the pattern matches."""
    if not isinstance(child.pattern, RegexPattern):
        return True
    return re.search(r"(\$|\\Z)$", str(child.pattern)) is not None
