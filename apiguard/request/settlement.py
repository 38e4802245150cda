"""``request.apiguard`` for views: they settle what the request used, or reserve more.

What a view settles is kept in memory and sent when the response is closed: ``settle``
waits for nothing, so that it serves synchronous and asynchronous views and streams alike.
"""

from __future__ import annotations

from typing import Any

from ..errors import LimitExceeded
from ..rules.rates import check_unit
from .async_driver import limit_threads, run_async
from .context import GuardContext
from .effects import Steps, run
from .limits import check_reservation
from .verdict import Verdict

# The largest number that is counted of a unit.
MOST = 10**9


class ViewContext(GuardContext):
    """The context of a request that views see."""

    def settle(self, **units: int) -> None:
        """Set what the request used in all of the units that its route reserved.

        ``settle(tokens=812)``; a hyphen in a unit's name is written ``_``. Views may call
        it more than once, and while a response streams: the last number counts. What was
        reserved and not used returns, what was used beyond it is counted on top. A unit
        that no limit of the caller counts is ignored.

        Raises:
            ValueError: a number is negative or no whole number, or a unit has no valid name.
        """
        used = _checked(units)
        if self.holds is not None and self.holds.settle(used):
            limit_threads.start(self.holds.send)

    def reserve(self, **units: int) -> None:
        """Reserve these totals before the work, where the route reserves too little.

        Raises:
            LimitExceeded: a limit of the caller does not admit it; a 429 if nobody catches it.
            ValueError: as ``settle``.
        """
        for unit, amount in _checked(units).items():
            self._require(run(self._reserving(unit, amount), self))

    async def areserve(self, **units: int) -> None:
        """As ``reserve``, for asynchronous views."""
        for unit, amount in _checked(units).items():
            self._require(await run_async(self._reserving(unit, amount), self))

    def _reserving(self, unit: str, amount: int) -> Steps[Verdict | None]:
        return check_reservation(self, unit, amount)

    def _require(self, verdict: Verdict | None) -> None:
        if verdict is not None and (self.route is None or self.enforced):
            raise LimitExceeded(verdict.violated, verdict.retry_after or 1, verdict)


def _checked(units: dict[str, Any]) -> dict[str, int]:
    checked = {check_unit(name.replace("_", "-")): amount for name, amount in units.items()}
    for unit, amount in checked.items():
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
            raise ValueError(f"{amount!r} {unit}: write a whole number of 0 or more.")
    return {unit: min(amount, MOST) for unit, amount in checked.items()}
