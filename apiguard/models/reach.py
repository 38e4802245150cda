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


class UrlPaths(NamedTuple):
    """The paths of a URLconf, so that a prefix is compared without walking through them."""

    texts: frozenset[str]
    above: frozenset[str]
    """Every prefix, with its last slash, that covers one of the texts."""
    open: frozenset[str]
    """The texts after which anything may follow."""

    def may_cover(self, prefix: str) -> bool:
        """Whether ``prefix`` can cover a path of any pattern."""
        if prefix in self.above:
            return True
        return any(prefix[:end] in self.open for end in range(1, len(prefix) + 1))


def covers_a_pattern(prefix: str) -> bool:
    """Whether a URL pattern, or the files of the project, can have a path under ``prefix``."""
    files = [urlsplit(str(url or "")).path for url in (settings.STATIC_URL, settings.MEDIA_URL)]
    if any(len(path) > 1 and prefix.startswith(path) for path in files):
        return True  # WhiteNoise and its like serve them without a pattern.
    paths = url_paths()
    return paths is None or paths.may_cover(prefix)


def suggest_prefixes(prefix: str) -> list[str]:
    """Return the prefixes that may be meant: with a language or path before, or without."""
    paths = url_paths()
    texts = paths.texts if paths is not None else ()
    found = {text[: at + len(prefix)] for text in texts if (at := text.find(prefix)) > 0}
    segments = prefix.strip("/").split("/")
    shorter = ("/" + "/".join(segments[start:]) + "/" for start in range(1, len(segments)))
    found |= {each for each in shorter if covers_a_pattern(each)}
    return sorted(found, key=_default_language_first)[:MOST_SUGGESTIONS]


def _default_language_first(prefix: str) -> tuple[bool, str]:
    try:
        # "en" for "en-us", as Django's LocaleMiddleware chooses.
        code = translation.get_supported_language_variant(settings.LANGUAGE_CODE)
    except LookupError:
        code = settings.LANGUAGE_CODE
    return not prefix.startswith(f"/{code}/"), prefix


def url_paths() -> UrlPaths | None:
    """Return the paths of all patterns, in every language; ``None`` without a URLconf."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return None
    try:
        resolver = get_resolver()
        # i18n_patterns may stand in the root URLconf alone. Each language loads its texts.
        by_language = any(
            isinstance(child.pattern, LocalePrefixPattern) for child in resolver.url_patterns
        )
        others = [code for code, _name in settings.LANGUAGES] if by_language else []
        return _url_paths(resolver, (settings.LANGUAGE_CODE, *others))
    except (ImportError, ImproperlyConfigured):
        return None  # Django reports it.


# One URLconf is walked once; Django keeps the resolver until the URLconf changes.
@lru_cache(maxsize=4)
def _url_paths(resolver: URLResolver, codes: tuple[str, ...]) -> UrlPaths:
    found: set[FixedPath] = set()
    for code in codes:
        with translation.override(code):
            found.update(_walk(resolver, "/"))
    texts = frozenset(path.text for path in found)
    above = frozenset(
        whole[: at + 1]
        for whole in (f"{text}/" for text in texts)
        for at, character in enumerate(whole)
        if character == "/"
    )
    return UrlPaths(texts, above, frozenset(path.text for path in found if not path.is_whole))


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
