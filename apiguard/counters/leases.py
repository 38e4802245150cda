"""Leases: units of a busy caller that a process reserves ahead and spends without a round trip.

From the third request of a caller within two seconds a check reserves, besides its own
cost, as many units as this process used in the last two seconds, and at most a
sixteenth of what is left of every limit. They are counted in the store at the end of the
lease (see ``merged_log.py``), so that a process may spend them at any moment until then,
also while the store is away. What is not used is given back: with the next check of
the caller, or by a thread within a second after the lease's end.

Never more than a limit's amount is admitted: the end of a lease is reckoned from before the
check was sent, on a clock that runs on while the machine sleeps; a lease serves one
principal under one tuple of limits; a reply that is lost is a lease that nobody has; a
process that dies loses units and never gains any. Lost units return with the window.

Nothing is reserved where an amount is below ``LEAST_LEASED_AMOUNT``, and nothing for
limits that refuse requests while the store is away, that views settle, or that count
requests in flight.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import lru_cache

from ..concurrency import Busy, DaemonThreads, reset_after_fork
from ..rules.limits import MICROSECONDS, Decision, Limit
from .base import Counter, CounterUnavailable, GiveBack, LimitCheck
from .connection import TIMEOUT_SECONDS
from .merged_log import LEAST_LEASED_AMOUNT, LONGEST_LEASE, lease_length

logger = logging.getLogger(__name__)

# Requests within LONGEST_LEASE from which a caller is busy.
BUSY_REQUESTS = 3
MAX_CALLERS = 2_000
# Tuples of limits per caller; they belong to routes.
MAX_TUPLES = 8
# An unused lease waits so long for a check that takes it along, and is looked for so often:
# together less than a second.
GRACE = 300_000
SWEEP_SECONDS = 0.2
# The clocks of process and store differ by less than this part.
DRIFT = 1_000
_TIMEOUT = int(TIMEOUT_SECONDS * MICROSECONDS)
# Runs on while the machine sleeps; not every system has it.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_microseconds() -> int:
    """Microseconds on a clock that is never set."""
    return (time.monotonic_ns() if _CLOCK is None else time.clock_gettime_ns(_CLOCK)) // 1000


@lru_cache(maxsize=1024)
def may_lease(limits: tuple[Limit, ...]) -> bool:
    """Whether units of all these limits may be reserved ahead."""
    return bool(limits) and all(
        limit.amount >= LEAST_LEASED_AMOUNT
        and limit.on_store_failure != "closed"
        and not limit.is_held
        for limit in limits
    )


class Lease:
    """Units that were reserved by a check, until ``end`` on this process's clock."""

    __slots__ = ("_place_here", "begun", "end", "place", "reply", "spent", "units")

    def __init__(self, begun: int, length: int, reply: Decision) -> None:
        # A little earlier than the store reckons: clocks drift.
        self.begun, self.end = begun, begun + length - length // DRIFT
        self._place_here = begun + length
        self.place = reply.now + length
        self.units, self.spent, self.reply = reply.reserved, 0, reply

    def spend(self, now: int, cost: int) -> Decision | None:
        """Use ``cost`` units; None where there are not so many, or no longer."""
        if now >= self.end or cost > self.units:
            return None
        self.units -= cost
        self.spent += cost
        return self._decision(now)

    def give_back(self, now: int) -> GiveBack:
        """What is left of it, as the store takes it back."""
        return GiveBack(self.place, now - self._place_here + _TIMEOUT, self.units)

    def _decision(self, now: int) -> Decision:
        """The reply that granted the lease, less what was spent since."""
        elapsed, spent, raw = now - self.begun, self.spent, self.reply.raw
        aged: list[int] = []
        for i in range(0, len(raw), 3):
            aged += (raw[i] + spent, 0, max(1, raw[i + 2] - elapsed))
        return Decision(True, self.reply.now + elapsed, self.reply.limits, tuple(aged))


class Caller:
    """One principal under one tuple of limits, as this process sees it.

    All methods take the time, change memory alone, and need ``lock`` to be held.
    """

    __slots__ = ("_is_reserving", "_recent", "_unused", "lease", "length", "limits", "lock")

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.lock = threading.Lock()
        self.limits, self.length = limits, lease_length(limits)
        self.lease: Lease | None = None
        # Leases that were replaced before they were given back.
        self._unused: list[Lease] = []
        # Whether a check that may reserve units is under way.
        self._is_reserving = False
        # (moment, cost) of the requests of the last LONGEST_LEASE.
        self._recent: deque[tuple[int, int]] = deque()

    def spend(self, now: int, cost: int) -> Decision | None:
        """Admit a request by the lease; None where it must be checked."""
        decision = None if self.lease is None else self.lease.spend(now, cost)
        if decision is not None:
            self._record(now, cost)
        return decision

    def prepare(self, now: int, check: LimitCheck) -> LimitCheck:
        """Return the check to send: with the rest of the lease, and with units to reserve."""
        self._record(now, check.cost)
        given_back = self._take_unused(now)
        units = 0
        if len(self._recent) >= BUSY_REQUESTS and not self._is_reserving:
            units = sum(cost for _, cost in self._recent) - check.cost
            self._is_reserving = units > 0
        given_back += check.given_back
        return check._replace(reserve=units, ahead=self.length, given_back=given_back)

    def receive(self, begun: int, sent: LimitCheck, reply: Decision | None) -> None:
        """Keep what the reply to a check grants that was prepared at ``begun``; None: no reply."""
        if not sent.reserve:
            return
        self._is_reserving = False
        if reply is not None and reply.reserved:
            self._replace(Lease(begun, self.length, reply))

    def collect_unused(self, now: int) -> tuple[GiveBack, ...]:
        """Return what is to be given back now, because no check has taken it along."""
        if self._is_reserving or (self.lease is not None and now < self.lease.end + GRACE):
            return ()
        return self._take_unused(now)

    def is_idle(self, now: int) -> bool:
        """Whether nothing of it matters any more."""
        last = self._recent[-1][0] if self._recent else 0
        holds = self.lease is not None or self._unused or self._is_reserving
        return not holds and last <= now - LONGEST_LEASE

    def drop(self) -> None:
        """Forget what is reserved without giving it back."""
        self.lease, self._unused = None, []

    def _replace(self, lease: Lease | None) -> None:
        if self.lease is not None and self.lease.units:
            self._unused.append(self.lease)
        self.lease = lease

    def _take_unused(self, now: int) -> tuple[GiveBack, ...]:
        self._replace(None)
        unused, self._unused = self._unused, []
        return tuple([lease.give_back(now) for lease in unused])

    def _record(self, now: int, cost: int) -> None:
        recent = self._recent
        while recent and recent[0][0] <= now - LONGEST_LEASE:
            recent.popleft()
        recent.append((now, cost))


class LeasingCounter:
    """Spends leases, and has the counter behind it check what they do not cover.

    Thread-safe; a forked child starts without leases. At most ``max_callers`` principals
    are kept; those that were checked longest ago go first, and their leases are lost.

    Args:
        clock: microseconds; monotonic, also over a suspension of the machine.
    """

    def __init__(
        self,
        counter: Counter,
        clock: Callable[[], int] = elapsed_microseconds,
        *,
        max_callers: int = MAX_CALLERS,
    ) -> None:
        self._counter, self._clock, self._max_callers = counter, clock, max_callers
        self._threads = DaemonThreads("apiguard-leases", 1, 1)
        self._start_over()
        reset_after_fork(self, LeasingCounter._start_over)

    def __len__(self) -> int:
        return len(self._callers)

    def _start_over(self) -> None:
        """Begin without leases: in a new counter, and in a child of a fork."""
        self._lock = threading.Lock()
        # Readers take no lock: the tuples are replaced, never changed.
        self._callers: OrderedDict[str, tuple[Caller, ...]] = OrderedDict()
        self._is_sweeping = False

    def forget_all(self) -> None:
        """Forget all leases without giving them back: the store may have lost what it counted."""
        with self._lock:
            principals = list(self._callers)
        for principal in principals:
            self.forget(principal)

    def forget(self, principal: str) -> None:
        """Forget the leases of a principal without giving them back: its counts were reset."""
        with self._lock:
            callers = self._callers.pop(principal, ())
        for caller in callers:
            with caller.lock:
                caller.drop()

    def spend(self, check: LimitCheck) -> Decision | None:
        """Admit a request by a lease, waiting for nothing; None where it must be checked."""
        for caller in self._callers.get(check.principal, ()):
            if caller.lease is not None and check.commit and caller.limits == check.limits:
                with caller.lock:
                    return caller.spend(self._clock(), check.cost)
        return None

    def check(self, check: LimitCheck) -> Decision:
        """As ``Counter.check``.

        Raises:
            CounterUnavailable: as the counter behind it.
        """
        if not (check.commit and check.cost and may_lease(check.limits)):
            return self._counter.check(check)
        caller = self._caller_of(check)
        with caller.lock:
            # The lease ends this long after, however late the reply comes.
            begun = self._clock()
            decision = caller.spend(begun, check.cost)
            if decision is not None:
                self.spent_late()
                return decision
            sent = caller.prepare(begun, check)
        reply: Decision | None = None
        try:
            reply = self._counter.check(sent)
        finally:
            with caller.lock:
                caller.receive(begun, sent, reply)
        if reply.reserved:
            self._start_sweeping()
        return reply

    def spent_late(self) -> None:
        """Called where ``check`` found a lease that another thread got just now; for subclasses."""

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``; what is reserved counts as used."""
        return self._counter.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``; the leases of this process are dropped and not given back."""
        try:
            return self._counter.reset(principal, limit_keys)
        finally:
            self.forget(principal)

    def give_back_unused(self) -> None:
        """Give back what leases that ended have left, and forget callers that are idle."""
        with self._lock:
            callers = [(name, each) for name, some in self._callers.items() for each in some]
        for principal, caller in callers:
            with caller.lock:
                unused = caller.collect_unused(self._clock())
            if unused:
                self._give_back(LimitCheck(principal, caller.limits, 0, given_back=unused))
        with self._lock:
            for principal, _ in callers:
                self._forget_if_idle(principal)

    def _caller_of(self, check: LimitCheck) -> Caller:
        with self._lock:
            callers = self._callers.get(check.principal, ())
            for caller in callers:
                if caller.limits == check.limits:
                    self._callers.move_to_end(check.principal)
                    return caller
            caller = Caller(check.limits)
            kept = [each for each in callers if not _drop_if_changed(each, check.limits)]
            self._callers[check.principal] = (*kept[1 - MAX_TUPLES :], caller)
            self._callers.move_to_end(check.principal)
            if len(self._callers) > self._max_callers:
                self._callers.popitem(last=False)
            return caller

    def _forget_if_idle(self, principal: str) -> None:
        callers = self._callers.get(principal, ())
        now = self._clock()
        for caller in callers:
            with caller.lock:
                if not caller.is_idle(now):
                    return
        self._callers.pop(principal, None)

    def _give_back(self, check: LimitCheck) -> None:
        try:
            self._counter.check(check)
        except CounterUnavailable as error:
            # It is not sent once more: the script may have run.
            logger.debug("Unused units cannot be given back: %s", error)

    def _start_sweeping(self) -> None:
        if self._is_sweeping:
            return
        with self._lock:
            if not self._is_sweeping:
                try:
                    self._threads.submit(self._sweep, self._after_sweeping)
                    self._is_sweeping = True
                except Busy:
                    logger.debug("No thread can be started to give back unused units.")

    def _sweep(self) -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            self.give_back_unused()
            with self._lock:
                if not self._callers:
                    self._is_sweeping = False
                    return

    def _after_sweeping(self, _: object, error: Exception | None) -> None:
        if error is not None:
            self._is_sweeping = False
            logger.error("Giving back unused units ended by a defect.", exc_info=error)


def _drop_if_changed(caller: Caller, limits: tuple[Limit, ...]) -> bool:
    """Drop a caller's lease if one of its limits is another one now; whether it was."""
    now = {limit.pk: limit for limit in limits}
    if all(now.get(limit.pk, limit) == limit for limit in caller.limits):
        return False
    with caller.lock:
        caller.drop()
    return True
