"""What a route can reach: the paths of the project's URLconf, and no WebSockets.

A route whose prefix covers no URL pattern guards nothing, often because the prefix
has the context path (``SCRIPT_NAME``) or lacks the language. Patterns are compared
as far as their text is fixed; where it is not, they may match anything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import translation

from .url_patterns import UrlConf, UrlPattern, read_urlconf

MOST_SUGGESTIONS = 3


def has_channels() -> bool:
    """Whether Django Channels is installed; WebSockets do not pass through middleware."""
    installed = [str(app).partition(".")[0] for app in settings.INSTALLED_APPS]
    return "channels" in installed or hasattr(settings, "CHANNEL_LAYERS")


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
    if covers_files(prefix):
        return True
    paths = url_paths()
    return paths is None or paths.may_cover(prefix)


def covers_files(prefix: str) -> bool:
    """Whether ``prefix`` is that of static or uploaded files."""
    # WhiteNoise and its like serve them without a pattern.
    files = [urlsplit(str(url or "")).path for url in (settings.STATIC_URL, settings.MEDIA_URL)]
    return any(len(path) > 1 and prefix.startswith(path) for path in files)


def covered_patterns(prefix: str) -> list[UrlPattern] | None:
    """Return the patterns that may have a path under ``prefix``; ``None`` without a URLconf."""
    urlconf = read_urlconf()
    if urlconf is None:
        return None
    return [pattern for pattern in urlconf.patterns if pattern.fixed.may_be_below(prefix)]


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
    urlconf = read_urlconf()
    return None if urlconf is None else _url_paths(urlconf)


@lru_cache(maxsize=4)
def _url_paths(urlconf: UrlConf) -> UrlPaths:
    found = {pattern.fixed for pattern in urlconf.patterns}
    texts = frozenset(path.text for path in found)
    above = frozenset(
        whole[: at + 1]
        for whole in (f"{text}/" for text in texts)
        for at, character in enumerate(whole)
        if character == "/"
    )
    return UrlPaths(texts, above, frozenset(path.text for path in found if not path.is_whole))
