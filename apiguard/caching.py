"""``KEY_FUNCTION`` for Django's caches: keeps the cached pages of different callers apart.

Django's cache middleware and ``cache_page`` run inside the guard. They store a
page under its URL and the headers in its ``Vary``, before apiguard adds to
``Vary``, so that a second client would get the page of the first. ``make_key``
adds a digest of the caller to the keys of cached pages, and of those alone.
The digest changes with every revision of policy: a key that lost a scope does
not get a page that it was allowed to see before.

A request without a verified credential of apiguard adds nothing: its pages are
stored as without apiguard.

This module imports little, because Django loads it with the first cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import default_key_func
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

PATH = "apiguard.caching.make_key"

# Django's prefix for the keys of cached pages and of their Vary headers. It is no public name, so
# tests/neighbours/test_django_cache.py fails when it changes.
PAGES = "views.decorators.cache."

KeyFunction = Callable[[Any, str, int], str]


class Guard(Protocol):
    """What is read of a request's ``GuardContext``."""

    @property
    def credential(self) -> Any:
        """The verified credential, or ``None``."""
        ...

    @property
    def snapshot(self) -> Any:
        """The policy that judges the request."""
        ...


current_guard: ContextVar[Guard | str | None] = ContextVar("apiguard_guard", default=None)
"""The request that is being handled; the middleware sets it. A text stands for the
credential of a request below ``EXEMPT_PATHS``, which DRF's classes may still verify."""


def presented_digest(authorization: str | None, api_key: str | None) -> str | None:
    """Return what stands for a credential that the middleware does not verify, if there is one."""
    if authorization is None and api_key is None:
        return None
    text = json.dumps([authorization, api_key])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def make_key(key: Any, key_prefix: str, version: int) -> str:
    """Make a cache key; the key of a cached page also names its caller.

    The rest is done by the function that ``OPTIONS["KEY_FUNCTION"]`` of the alias
    names, or by Django's own.
    """
    own: KeyFunction = _own_functions().get(key_prefix, default_key_func)
    return own(add_caller(key), key_prefix, version)


def add_caller(key: Any) -> Any:
    """Add the digest of the caller to the key of a cached page; return other keys unchanged.

    For a ``KEY_FUNCTION`` of your own.
    """
    if not str(key).startswith(PAGES):
        return key
    guard = current_guard.get()
    if isinstance(guard, str):
        return f"{key}.{guard}"
    if guard is None or guard.credential is None:
        return key
    return f"{key}.{_digest(guard.credential, guard.snapshot)}"


def keeps_callers_apart(alias: str) -> bool:
    """Return whether this cache has two keys for one page of two callers.

    Raises:
        ImproperlyConfigured: the cache cannot be made.
        ImportError: its backend or its function cannot be imported.
    """
    cache, keys = caches[alias], []
    for number in range(2):
        token = current_guard.set(_Example(_ExampleCredential(f"client:{number}")))
        try:
            keys.append(cache.make_key(f"{PAGES}cache_page.example"))
        finally:
            current_guard.reset(token)
    return keys[0] != keys[1]


class _ExampleCredential(NamedTuple):
    principal: str
    auth: Mapping[str, str] = {}
    scopes: tuple[str, ...] = ()


class _ExampleSnapshot(NamedTuple):
    revision: int = 0
    stamp: str = ""


class _Example(NamedTuple):
    credential: Any
    snapshot: Any = _ExampleSnapshot()


def _digest(credential: Any, snapshot: Any) -> str:
    # Of a token all claims count: a view may answer by any of them.
    source = credential.auth.pk if hasattr(credential.auth, "pk") else dict(credential.auth)
    parts = [
        credential.principal,
        source,
        sorted(credential.scopes),
        snapshot.revision,
        snapshot.stamp,
    ]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _own_functions() -> dict[str, KeyFunction]:
    """Return the key functions that ours wraps, by ``KEY_PREFIX``: Django passes no alias.

    Raises:
        ImproperlyConfigured: caches with one ``KEY_PREFIX`` name different functions.
    """
    found: dict[str, KeyFunction] = {}
    for alias, cache in settings.CACHES.items():
        if cache.get("KEY_FUNCTION") not in (PATH, make_key):
            continue
        named = (cache.get("OPTIONS") or {}).get("KEY_FUNCTION", default_key_func)
        function = import_string(named) if isinstance(named, str) else named
        prefix = cache.get("KEY_PREFIX", "")
        if found.setdefault(prefix, function) is not function:
            raise ImproperlyConfigured(
                f"CACHES[{alias!r}] has the KEY_PREFIX {prefix!r} of another cache, and another "
                "function in OPTIONS['KEY_FUNCTION']. Give each of them a KEY_PREFIX of its own."
            )
    return found


def _forget_functions(*, setting: str, **_: object) -> None:
    if setting == "CACHES":
        _own_functions.cache_clear()


setting_changed.connect(_forget_functions, dispatch_uid="apiguard.caching")
