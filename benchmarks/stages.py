"""Which stage of a request's way the microseconds of a profile belong to. Pure arithmetic.

Own time is a function's; what it calls outside apiguard (Django, redis-py, the
standard library) is laid at its door too, unless that leads back into
apiguard: a call through Django to the view is nobody's own.
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

# First match: the beginning of a path below the package, and a function or "".
_STAGES = (
    ("middleware.py", "_passage", "facts"),
    ("middleware.py", "_tell", "telemetry"),
    ("request/request_id.py", "", "request id"),
    ("request/facts.py", "", "facts"),
    ("request/body.py", "", "facts"),
    ("rules/networks.py", "", "facts"),
    ("rules/limits.py", "rate_limit_headers", "response headers"),
    ("rules/limits.py", "_", "response headers"),
    ("request/response.py", "", "response headers"),
    ("request/django_private.py", "", "response headers"),
    ("request/problem.py", "", "response headers"),
    ("rules/headers.py", "", "response headers"),
    ("request/route.py", "", "route"),
    ("rules/paths.py", "", "route"),
    ("policy/holder.py", "", "route"),
    ("policy/snapshot.py", "", "route"),
    ("models/state.py", "", "route"),
    ("request/cors.py", "", "cors"),
    ("rules/origin", "", "cors"),
    ("request/content.py", "", "content"),
    ("rules/accept.py", "", "content"),
    ("rules/media.py", "", "content"),
    ("request/credentials.py", "", "credentials"),
    ("request/offered.py", "", "credentials"),
    ("request/keys.py", "", "credentials"),
    ("request/tokens.py", "", "credentials"),
    ("request/users.py", "", "credentials"),
    ("request/failures.py", "", "credentials"),
    ("request/access.py", "", "credentials"),
    ("rules/keys.py", "", "credentials"),
    ("rules/key_life.py", "", "credentials"),
    ("rules/jwt", "", "credentials"),
    ("rules/scopes.py", "", "credentials"),
    ("policy/", "", "credentials"),
    ("request/limits.py", "", "limits"),
    ("rules/limits.py", "", "limits"),
    ("counters/", "", "counter"),
    ("telemetry/", "", "telemetry"),
    ("rest_framework/", "", "DRF's door"),
    ("", "", "driver"),
)
ORDER = tuple(dict.fromkeys(stage for _, _, stage in _STAGES))


@dataclass(frozen=True, slots=True)
class Line:
    """One function. Times are microseconds per request.

    ``own`` is without, ``outside`` only what it calls outside apiguard.
    """

    stage: str
    function: str
    calls: float
    own: float
    outside: float
    cumulative: float

    @property
    def charged(self) -> float:
        """What is laid at its door."""
        return self.own + self.outside


def stage_of(path: str, name: str) -> str:
    """The stage of a function; ``path`` is below the package."""
    for begin, function, stage in _STAGES:
        if path.startswith(begin) and name.startswith(function):
            return stage
    raise AssertionError("The last line matches everything.")


def is_ours(function: Function) -> bool:
    """Whether a function is apiguard's."""
    return PACKAGE in function[0]


def lines(profile: Profile, requests: int) -> list[Line]:
    """Every function of apiguard that ran, the dearest of each stage first."""
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
            stage_of(path := function[0].rpartition(PACKAGE)[2], function[2]),
            f"{path}: {function[2]}",
            entry[1] / requests,
            entry[2] * each,
            outside[function] * each,
            entry[3] * each,
        )
        for function, entry in profile.items()
        if is_ours(function)
    ]
    return sorted(found, key=lambda line: (ORDER.index(line.stage), -line.charged))


def _leads_back(profile: Profile) -> set[Function]:
    """Functions outside apiguard that call into it, over whatever detours.

    Not over built-in ones: ``next`` and ``any`` call everybody, for everybody.
    """
    found: set[Function] = set()
    waiting = [function for function in profile if is_ours(function)]
    while waiting:
        function = waiting.pop()
        for caller in profile[function][4] if function[0] != "~" else ():
            if caller in profile and not is_ours(caller) and caller not in found:
                found.add(caller)
                waiting.append(caller)
    return found


def totals(found: Iterable[Line]) -> dict[str, float]:
    """Stage -> microseconds per request, in the order of a request's way."""
    summed = dict.fromkeys(ORDER, 0.0)
    for line in found:
        summed[line.stage] += line.charged
    return summed
