"""Throttles of Django REST framework: the classes of each view, with their rates.

A class that decides by code of its own, and not by user and address at a rate, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from rest_framework import throttling
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from ...models.url_patterns import UrlPattern
from .found import Counted, Reading, Throttle, texts

_COUNTED: Final = {
    throttling.AnonRateThrottle: Counted.ANONYMOUS,
    throttling.UserRateThrottle: Counted.EVERYBODY,
    throttling.ScopedRateThrottle: Counted.EVERYBODY,
}
_MISTAKES = (ImproperlyConfigured, ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True)
class _Use:
    """A class of throttles as some views use it; ``scope`` is the views' own, if they have one."""

    throttle_class: type[Any]
    scope: str

    @property
    def label(self) -> str:
        scope = f", scope {self.scope!r}" if self.scope else ""
        return f"DRF: {self.throttle_class.__qualname__}{scope}"


def read(patterns: Iterable[UrlPattern], reading: Reading) -> None:
    """Add the throttles of all views, and of views to come (``DEFAULT_THROTTLE_CLASSES``)."""
    uses: dict[_Use, list[UrlPattern]] = {}
    views: list[UrlPattern] = []
    for each in _defaults():
        if not _is_ours(each) and not issubclass(each, throttling.ScopedRateThrottle):
            uses[_Use(each, "")] = []
    for pattern in patterns:
        view = getattr(pattern.callback, "cls", None)
        if not isinstance(view, type) or not issubclass(view, APIView):
            continue
        views.append(pattern)
        if view.get_throttles is not APIView.get_throttles:
            where = f"DRF: {view.__qualname__} ({pattern.text})"
            reading.refused.append(f"{where} chooses its throttles by code (get_throttles)")
            continue
        for use in _uses_of(pattern.callback, view):
            uses.setdefault(use, []).append(pattern)
    for use, places in uses.items():
        _add(use, places, views, reading)
    _notice_unused(uses, reading)


def _defaults() -> tuple[type[Any], ...]:
    # The stubs of DRF have the names; the settings have imported them.
    classes: Any = api_settings.DEFAULT_THROTTLE_CLASSES
    return tuple(classes)


def _is_ours(throttle_class: type[Any]) -> bool:
    return throttle_class.__module__.partition(".")[0] == "apiguard"


def _uses_of(callback: Any, view: type[APIView]) -> Iterable[_Use]:
    # A router gives what stands at an @action to as_view().
    given = getattr(callback, "initkwargs", {})
    for throttle_class in given.get("throttle_classes", view.throttle_classes):
        if _is_ours(throttle_class):
            continue
        scope = ""
        if issubclass(throttle_class, throttling.ScopedRateThrottle):
            attribute = throttle_class.scope_attr
            scope = given.get(attribute, getattr(view, attribute, None)) or ""
            if not scope:
                continue  # Such a view is not throttled.
        yield _Use(throttle_class, scope)


def _add(use: _Use, places: list[UrlPattern], views: list[UrlPattern], reading: Reading) -> None:
    counted = _counted(use.throttle_class)
    if counted is None:
        reading.refused.append(f"{use.label} decides by code of its own")
        return
    try:
        amount, seconds, name = _rate(use)
    except _MISTAKES as error:
        reading.refused.append(f"{use.label} has no rate: {error}")
        return
    if amount is None or seconds is None:
        return  # DRF's way to say "not limited".
    is_default = use.throttle_class in _defaults() and not use.scope
    if is_default and (others := [view for view in views if view not in places]):
        reading.notices.append(
            f"{use.label} is the default, but not of {texts(others)}. "
            "The limit counts their requests, too"
        )
    reading.throttles.append(
        Throttle(use.label, name, amount, seconds, counted, None if is_default else tuple(places))
    )


def _counted(throttle_class: type[Any]) -> Counted | None:
    """Return whom a class counts; None if it decides otherwise than the classes of DRF."""
    for known, counted in _COUNTED.items():
        if (
            issubclass(throttle_class, known)
            and throttle_class.get_cache_key is known.get_cache_key
            and throttle_class.allow_request is known.allow_request
        ):
            return counted
    return None


def _rate(use: _Use) -> tuple[int | None, int | None, str]:
    throttle = use.throttle_class()
    if use.scope:
        throttle.scope = use.scope
        throttle.rate = throttle.get_rate()
        throttle.num_requests, throttle.duration = throttle.parse_rate(throttle.rate)
    name = throttle.scope or use.throttle_class.__name__
    return throttle.num_requests, throttle.duration, name


def _notice_unused(uses: Iterable[_Use], reading: Reading) -> None:
    used = {use.scope or getattr(use.throttle_class, "scope", None) for use in uses}
    for scope, rate in api_settings.DEFAULT_THROTTLE_RATES.items():
        if rate is not None and scope not in used:
            reading.notices.append(
                f"DRF: DEFAULT_THROTTLE_RATES[{scope!r}] ({rate}) is used by no view"
            )
