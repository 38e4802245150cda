"""The decorators of django-ratelimit and django-smart-ratelimit, found on the imported views.

Neither package keeps a list of what it decorates. The arguments are read from the closure of
the decorated view, as ``inspect`` shows it; ``tests/neighbours`` holds this against both.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from django.utils import decorators as of_django
from django.views import View

from ...errors import RateError
from ...models.url_patterns import UrlPattern
from ...rules.rates import parse_rate
from .found import ALL_METHODS, BY_ADDRESS, BY_KEY, Reading, Throttle

# Package -> the module of its decorator.
_PACKAGES: Final = {
    "django-ratelimit": ("django_ratelimit", "django_ratelimit.decorators"),
    "django-smart-ratelimit": ("django_smart_ratelimit", "django_smart_ratelimit.decorator"),
}
# Arguments that change whom or what is counted; none of them is a matter of a limit.
_BY_CODE: Final = ("skip_if", "adaptive", "allow_list", "deny_list")


@dataclass(frozen=True, slots=True)
class _Decoration:
    """One decorator on a view, with the arguments that it was given."""

    package: str
    view: str
    key: object
    rate: object
    methods: frozenset[str]
    group: str | None
    refuses: bool
    by_code: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.package}: {self.group or self.view}"


def read(patterns: Iterable[UrlPattern], reading: Reading) -> None:
    """Add the rates of decorated views: functions, classes, and methods of classes."""
    files = {
        spec.origin: package
        for package, (top, module) in _PACKAGES.items()
        if find_spec(top) is not None and (spec := find_spec(module)) is not None
    }
    places: dict[_Decoration, list[UrlPattern]] = {}
    for pattern in patterns if files else ():
        for package, arguments in _decorations(pattern.callback, files):
            places.setdefault(_decoration(package, pattern.view, arguments), []).append(pattern)
    for decoration, decorated in places.items():
        _add(decoration, tuple(decorated), reading)


def _decorations(callback: Any, files: dict[Any, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: set[int] = set()
    left = [callback, *_methods(callback)]
    while left:
        function = left.pop()
        if isinstance(function, (list, tuple)):
            left += function
            continue
        if not inspect.isfunction(function) or id(function) in seen:
            continue
        seen.add(id(function))
        left.append(getattr(function, "__wrapped__", None))
        try:
            variables = inspect.getclosurevars(function).nonlocals
        except ValueError:  # A variable that is not set yet.
            continue
        # django-smart-ratelimit keeps what it completed under _rate.
        arguments = {name.lstrip("_"): value for name, value in variables.items()}
        package = files.get(inspect.getfile(function))
        if package is not None and {"key", "rate"} <= arguments.keys():
            yield package, arguments
        elif inspect.getfile(function) == of_django.__file__:
            left += arguments.values()  # method_decorator


def _methods(callback: Any) -> Iterator[Any]:
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    if isinstance(view, type):
        actions = getattr(callback, "actions", None) or {}
        for name in ("dispatch", *View.http_method_names, *actions.values()):
            yield getattr(view, name, None)


def _decoration(package: str, view: str, arguments: dict[str, Any]) -> _Decoration:
    method = arguments.get("method")
    named = [method] if isinstance(method, str) else method
    group, rate = arguments.get("group"), arguments["rate"]
    return _Decoration(
        package=package,
        # Views of one group are counted together.
        view="" if group else view,
        key=arguments["key"],
        rate=tuple(rate) if isinstance(rate, list) else rate,
        # django-ratelimit's ALL is None or (None,), depending on where it stands.
        methods=frozenset(each.upper() for each in named or () if each) or ALL_METHODS,
        group=group,
        refuses=bool(arguments.get("block", True)) and not arguments.get("shadow", False),
        by_code=tuple(name for name in (*_BY_CODE, "cost") if _is_given(name, arguments.get(name))),
    )


def _is_given(name: str, value: object) -> bool:
    return value not in ((None, 1) if name == "cost" else (None,))


def _add(decoration: _Decoration, places: tuple[UrlPattern, ...], reading: Reading) -> None:
    label, key, rate = decoration.label, decoration.key, decoration.rate
    if decoration.by_code:
        reading.refused.append(f"{label} decides by {', '.join(decoration.by_code)}")
    elif not isinstance(key, str) or key not in BY_KEY:
        reading.refused.append(f"{label} counts by {_shown(key)}, and no limit does")
    elif (parsed := read_rate(rate)) is None:
        reading.refused.append(f"{label} has no fixed rate ({_shown(rate)})")
    else:
        notices = (BY_ADDRESS,) if key == "ip" else ()
        if not decoration.refuses:
            notices = (*notices, "it refuses nothing by itself: leave its limit in shadow")
        reading.throttles.append(
            Throttle(
                label,
                decoration.group or decoration.view.rpartition(".")[2],
                *parsed,
                BY_KEY[key],
                places,
                methods=decoration.methods,
                notices=notices,
            )
        )


def read_rate(rate: object) -> tuple[int, int] | None:
    """Amount and seconds of a rate such as "5/m", "10/30s" or (5, 60); None if it is no such."""
    if isinstance(rate, (tuple, list)) and len(rate) == 2:
        amount, seconds = rate
        both = isinstance(amount, int) and isinstance(seconds, int)
        return (amount, seconds) if both else None
    if isinstance(rate, str) and rate[-1:].isdigit():
        rate = f"{rate}s"  # django-ratelimit: no unit is seconds.
    try:
        parsed = parse_rate(rate)
    except RateError:
        return None
    return None if parsed.period is None else (parsed.amount, parsed.period)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else getattr(value, "__qualname__", repr(value))
