"""The URL patterns of the project's URLconf, in every language, found in one walk.

The walk enters every include, so that it finds the patterns of namespaces, of DRF's
routers, of django-ninja and of admin sites alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern
from django.utils import translation

from ..rules.coverage import FixedPath

# Where the fixed text of a pattern ends. A quantifier makes the character before it variable.
_VARIABLE_ROUTE = re.compile("<")
_VARIABLE_REGEX = re.compile(r".?[?*{]|[\\<>()\[\]+|.$]")
_END = re.compile(r"(\$|\\Z|\\z)$")


@dataclass(frozen=True, slots=True)
class UrlPattern:
    """One URL pattern in one language.

    ``identity`` is the same for the pattern in another language.
    """

    text: str
    """As people read it, such as "/api/orders/<int:pk>"."""
    fixed: FixedPath
    name: str
    """With its namespaces, such as "shop:order"; "" for a pattern without a name."""
    view: str
    admin_site: str
    """Where the admin site is that serves it, such as "/admin/"; "" outside of one."""
    identity: tuple[int, ...] = field(repr=False)
    callback: Any = field(repr=False, compare=False)
    """The view itself, for what reads its attributes."""


@dataclass(frozen=True, slots=True)
class _Above:
    """What the includes above a pattern add to it."""

    text: str = "/"
    fixed: str = "/"
    is_fixed: bool = True
    namespace: str = ""
    admin_site: str = ""
    identity: tuple[int, ...] = ()

    def below(self, child: URLPattern | URLResolver) -> _Above:
        text, is_fixed = _fixed_text(child.pattern)
        namespace = getattr(child, "namespace", None)
        readable = self.text + _readable(child.pattern)
        is_site = getattr(child, "app_name", None) == "admin"
        return _Above(
            text=readable,
            fixed=self.fixed + text if self.is_fixed else self.fixed,
            is_fixed=self.is_fixed and is_fixed,
            namespace=f"{self.namespace}{namespace}:" if namespace else self.namespace,
            admin_site=self.admin_site or (readable if is_site else ""),
            identity=(*self.identity, id(child)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class UrlConf:
    """All patterns of a URLconf, those of one language after another."""

    patterns: tuple[UrlPattern, ...]


def read_urlconf() -> UrlConf | None:
    """Return the patterns of the project's URLconf; ``None`` where there is none."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return None
    try:
        resolver = get_resolver()
        # i18n_patterns may stand in the root URLconf alone. Each language loads its texts.
        by_language = any(
            isinstance(child.pattern, LocalePrefixPattern) for child in resolver.url_patterns
        )
        others = [code for code, _name in settings.LANGUAGES] if by_language else []
        return _read(resolver, tuple(dict.fromkeys((settings.LANGUAGE_CODE, *others))))
    except (ImportError, ImproperlyConfigured):
        return None  # Django reports it.


# One URLconf is walked once; Django keeps the resolver until the URLconf changes.
@lru_cache(maxsize=4)
def _read(resolver: URLResolver, codes: tuple[str, ...]) -> UrlConf:
    found: dict[tuple[str, tuple[int, ...]], UrlPattern] = {}
    for code in codes:
        with translation.override(code):
            for pattern in _walk(resolver, _Above()):
                found.setdefault((pattern.text, pattern.identity), pattern)
    return UrlConf(tuple(found.values()))


def _walk(resolver: URLResolver, above: _Above) -> Iterator[UrlPattern]:
    for child in resolver.url_patterns:
        if _has_no_language(child.pattern):
            continue
        here = above.below(child)
        if isinstance(child, URLResolver):
            yield from _walk(child, here)
            continue
        yield UrlPattern(
            text=here.text,
            fixed=FixedPath(here.fixed, here.is_fixed and _ends(child)),
            name=f"{here.namespace}{child.name}" if child.name else "",
            view=child.lookup_str,
            admin_site=here.admin_site,
            identity=here.identity,
            callback=child.callback,
        )


def _has_no_language(pattern: object) -> bool:
    """Whether the pattern begins with a language that LocaleMiddleware never chooses."""
    if not isinstance(pattern, LocalePrefixPattern) or not str(pattern):
        return False
    # LANGUAGE_CODE may be "en-us", for which LANGUAGES has "en".
    return translation.get_language() not in dict(settings.LANGUAGES)


def _fixed_text(pattern: object) -> tuple[str, bool]:
    """Return the fixed beginning of a pattern, and whether that is all of it."""
    text = str(pattern)
    if isinstance(pattern, LocalePrefixPattern):
        return text, True
    if not isinstance(pattern, RegexPattern):
        found = _VARIABLE_ROUTE.search(text)
        return (text, True) if found is None else (text[: found.start()], False)
    text = _END.sub("", text.removeprefix("^"))
    if "|" in text:
        return "", False
    found = _VARIABLE_REGEX.search(text)
    return (text, True) if found is None else (text[: found.start()], False)


def _readable(pattern: object) -> str:
    """Return a pattern without the marks of a regular expression's beginning and end."""
    text = str(pattern)
    if not isinstance(pattern, RegexPattern):
        return text
    return re.sub(r"\(\?P(<\w+>)[^()]*\)", r"\1", _END.sub("", text.removeprefix("^")))


def _ends(child: URLPattern) -> bool:
    """Whether nothing may follow what the pattern matches."""
    if not isinstance(child.pattern, RegexPattern):
        return True
    return _END.search(str(child.pattern)) is not None
