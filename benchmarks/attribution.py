"""To which function of apiguard the microseconds of a profile are charged. Pure arithmetic.

A function is charged its own time, and that of what it calls outside apiguard
(Django, redis-py, the standard library), unless that call leads back into
apiguard: a call through Django to the view is charged to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# File, line, name; as ``pstats`` names a function.
Function = tuple[str, int, str]
# Primitive calls, calls, own seconds, cumulative seconds, callers -> the same four.
Entry = tuple[int, int, float, float, Mapping[Function, tuple[int, int, float, float]]]
Profile = Mapping[Function, Entry]

PACKAGE = "/apiguard/"


@dataclass(frozen=True, slots=True)
class Line:
    """One function. Times are microseconds per request.

    ``own`` is without, ``outside`` only what it calls outside apiguard.
    """

    file: str
    function: str
    calls: float
    own: float
    outside: float
    cumulative: float

    @property
    def charged(self) -> float:
        """What the function costs."""
        return self.own + self.outside


def is_ours(function: Function) -> bool:
    """Whether a function is apiguard's."""
    return PACKAGE in function[0]


def lines(profile: Profile, requests: int) -> list[Line]:
    """Every function of apiguard that ran, the dearest first."""
    back, outside = _leads_back(profile), dict.fromkeys(profile, 0.0)
    for callee, entry in profile.items():
        if is_ours(callee) or callee in back:
            continue
        for caller, edge in entry[4].items():
            if is_ours(caller):
                outside[caller] += edge[3]
    each = 1e6 / requests
    found = [
        Line(
            function[0].rpartition(PACKAGE)[2],
            function[2],
            entry[1] / requests,
            entry[2] * each,
            outside[function] * each,
            entry[3] * each,
        )
        for function, entry in profile.items()
        if is_ours(function)
    ]
    return sorted(found, key=lambda line: -line.charged)


def _leads_back(profile: Profile) -> set[Function]:
    """Functions outside apiguard that call into it, over whatever detours.

    Not over built-in ones: ``next`` and ``any`` call everybody, for everybody.
    """
    found: set[Function] = set()
    pending = [function for function in profile if is_ours(function)]
    while pending:
        function = pending.pop()
        for caller in profile[function][4] if function[0] != "~" else ():
            if caller in profile and not is_ours(caller) and caller not in found:
                found.add(caller)
                pending.append(caller)
    return found


def totals(found: Iterable[Line]) -> dict[str, float]:
    """File -> microseconds per request, the dearest first."""
    summed: dict[str, float] = {}
    for line in found:
        summed[line.file] = summed.get(line.file, 0.0) + line.charged
    return dict(sorted(summed.items(), key=lambda item: -item[1]))
