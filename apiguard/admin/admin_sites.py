"""The paths of a project's admin sites, found by walking its URLconf.

``reverse("admin:index")`` names one site only, and the wrong one where a project
has several. Paths are ``path_info``: they have no ``SCRIPT_NAME``, like the paths
that routes are matched against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.urls import NoReverseMatch, Resolver404, URLResolver, get_resolver
from django.utils import translation
from django.utils.module_loading import import_string

# A prefix that ends before this has no fixed text, such as "<slug:tenant>/".
_NOT_PLAIN = re.compile(r"[\\<>()\[\]{}?*+|$]")


@dataclass(frozen=True, slots=True, order=True)
class AdminPaths:
    """Where one admin site is: its index and its sign-in page."""

    index: str
    login: str


def site_serving(request: HttpRequest) -> AdminPaths | None:
    """Return the paths of the admin site that serves ``request``; ``None`` outside of one."""
    root = get_resolver(getattr(request, "urlconf", None))
    matched = root.pattern.match(request.path_info)
    return None if not matched else _find_serving(root, request.path_info, matched[0])


def _find_serving(resolver: URLResolver, path: str, rest: str) -> AdminPaths | None:
    for child in _resolvers(resolver):
        matched = child.pattern.match(rest)
        if not matched:
            continue
        if child.app_name != "admin":
            found = _find_serving(child, path, matched[0])
        else:
            found = _paths(child, path[: len(path) - len(matched[0])], rest)
        if found is not None:
            return found
    return None


def _paths(site: URLResolver, prefix: str, rest: str | None = None) -> AdminPaths | None:
    """Return the paths of ``site`` below ``prefix``; ``None`` if it does not serve ``rest``."""
    if rest is not None:
        try:
            site.resolve(rest)
        except Resolver404:
            return None
    try:
        login = str(site.reverse("login"))
    except NoReverseMatch:
        login = "login/"
    return AdminPaths(prefix, prefix + login)


def all_sites(request: HttpRequest) -> set[AdminPaths]:
    """Return the paths of every admin site of the project, in every language.

    A site below a path with parameters has no fixed path and is left out.
    """
    root = get_resolver(getattr(request, "urlconf", None))
    found: set[AdminPaths] = set()
    for language in _languages():
        with translation.override(language):
            found.update(_walk(root, "/"))
    return found


def _languages() -> list[str]:
    """Return the languages in which requests are served."""
    current = translation.get_language() or settings.LANGUAGE_CODE
    middleware = map(import_string, settings.MIDDLEWARE) if settings.USE_I18N else ()
    if any(isinstance(one, type) and issubclass(one, LocaleMiddleware) for one in middleware):
        return [code for code, _name in settings.LANGUAGES]
    # Nothing chooses another one. To walk all of Django's hundred would load them all.
    return [current]


def _walk(resolver: URLResolver, prefix: str) -> Iterator[AdminPaths]:
    for child in _resolvers(resolver):
        text = str(child.pattern).removeprefix("^")
        if _NOT_PLAIN.search(text):
            continue
        if child.app_name == "admin":
            paths = _paths(child, prefix + text)
            if paths is not None:
                yield paths
        else:
            yield from _walk(child, prefix + text)


def _resolvers(resolver: URLResolver) -> Iterator[URLResolver]:
    return (child for child in resolver.url_patterns if isinstance(child, URLResolver))
