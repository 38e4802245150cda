"""A simulated world in which several processes spend leases of one caller, on one store.

Every process is a real ``LeasingCounter`` on a clock of its own; the store is a real
counter. What lies between them is played: a check reaches the store after a while, its
reply comes back later or not at all, and in between everything else goes on. Processes are
killed, stopped and forked, clocks of processes drift, the store's clock is set back, limits
change while they are counted, staff count them from zero. Times are microseconds; ``now`` is
the real time.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from apiguard.counters.base import Counter, LimitCheck
from apiguard.counters.leases import DRIFT, LeasingCounter, may_lease
from apiguard.counters.merged_log import LONGEST_LEASE, B, calendar_bounds
from apiguard.rules.limits import MICROSECONDS, Decision, Limit

START = 1_790_000_000_123_456
SWEEP = 200_000
PRINCIPAL = "client:1"
# Longer than a check that takes part in the trace may take on its way to the store.
LONGEST_WAY = 40_000


@dataclass(slots=True)
class Trouble:
    """How often what goes wrong in one trace; ``lost`` is a share of all replies."""

    lost: float = 0.0
    kills: int = 0
    stops: int = 0
    forks: int = 0
    steps: int = 0
    drift: float = 0.0
    changes: int = 0
    resets: int = 0

    @classmethod
    def drawn(cls, dice: random.Random) -> Trouble:
        """No trouble, some of it, or all."""
        if dice.random() < 0.2:
            return cls()
        return cls(
            lost=dice.choice([0, 0.02, 0.2]),
            kills=dice.choice([0, 3]),
            stops=dice.choice([0, 3]),
            forks=dice.choice([0, 2]),
            steps=dice.choice([0, 0, 2]),
            drift=dice.choice([0, 0.9 / DRIFT]),
            changes=dice.choice([0, 0, 2]),
            resets=dice.choice([0, 0, 3]),
        )


class Process:
    """A worker: its leases, and its clock."""

    def __init__(self, world: World, drift: float) -> None:
        self.world, self.drift, self.stopped_until = world, drift, 0
        self.leases = LeasingCounter(self, self.clock)
        self.limits = world.limits

    def adopt(self, limits: tuple[Limit, ...]) -> None:
        """A new policy reaches this worker."""
        self.limits = limits

    def clock(self) -> int:
        return int(self.world.now * (1 + self.drift))

    def check(self, check: LimitCheck) -> Decision:
        """What the thread that gives back calls: sent, and nobody waits for the reply."""
        self.world.send(self, None, 0, check)
        return Decision(True, 0)


class World:
    """One trace, drawn from a seed."""

    def __init__(
        self,
        seed: int,
        make_store: Callable[[Callable[[], int]], Counter],
        amounts: tuple[int, ...],
        most_requests: int,
        trouble: Trouble | None = None,
    ) -> None:
        dice = self.dice = random.Random(seed)
        self.trouble = trouble or Trouble.drawn(dice)
        self.now, self.step = START + dice.randrange(10**12), 0
        self.store = make_store(lambda: self.now - self.step)
        self.limits = self.all_limits = self._draw_limits(amounts)
        # By limit, the largest amount and the longest period that were ever in force.
        self.most = {limit.pk: limit.amount for limit in self.limits}
        self.processes = [
            Process(self, dice.uniform(-self.trouble.drift, self.trouble.drift))
            for _ in range(dice.choice([1, 2, 4, 8]))
        ]
        self.most_requests = most_requests
        # By limit, the moments and costs of what it admitted since it last counted from zero.
        self.admitted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        # By calendar quota and the end of its period, on the store's clock, likewise.
        self.in_period: dict[tuple[int, int], int] = defaultdict(int)
        # By limit, when a reset takes effect, on the store's clock; and when the last one did.
        self.resets: dict[int, int] = {}
        self.zero: dict[int, int] = {}
        # The excess of what was admitted before resets.
        self.worst = 0
        # The ends of the periods that go on, and by place those in which a lease is counted.
        self.ends: dict[int, int] = {}
        self.ends_of: dict[int, dict[int, int]] = {}
        self.refused: list[tuple[int, int, LimitCheck]] = []
        # By place: what was reserved there and not used; and how much of it was given back.
        self.unused: dict[int, int] = defaultdict(int)
        self.given_back: dict[int, int] = defaultdict(int)
        # All of them.
        self.places: set[int] = set()
        self.asked = self.sent = self.spent = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    def _draw_limits(self, amounts: tuple[int, ...]) -> tuple[Limit, ...]:
        dice, period = self.dice, self.dice.choice([1, 5, 60])
        limits = [Limit(1, "window", "window", dice.choice(amounts), period)]
        if dice.random() < 0.3:
            more = dice.choice([2, 10]) * limits[0].amount
            limits.append(Limit(2, "longer", "window", more, 10 * period))
        if dice.random() < 0.4:
            # The trace begins shortly before midnight, so that the quota's period ends in it.
            self.now -= self.now % (86400 * MICROSECONDS) + dice.randrange(1, 4 * MICROSECONDS)
            most = dice.choice([1, 3]) * limits[0].amount
            limits.append(Limit(3, "quota", "quota", most, 0, dice.choice(["day", "month"])))
        dice.shuffle(limits)
        return tuple(limits)

    @property
    def window(self) -> Limit:
        return next(limit for limit in self.limits if limit.pk == 1)

    # Time -------------------------------------------------------------------

    def at(self, moment: int, happens: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._queue, (moment, next(self._numbers), happens, arguments))

    def run(self) -> World:
        dice, limit, moment = self.dice, self.window, self.now
        length = limit.period * MICROSECONDS
        pause = length / (dice.choice([0.3, 0.8, 1, 1.2, 3, 10]) * limit.amount)
        spread = dice.choice([0, 0.5, 1])
        begin, turn = moment, max(1, min(LONGEST_LEASE, length // B))
        for _ in range(self.most_requests):
            idle = dice.random() < 0.003
            moment += dice.randrange(length // 2) if idle else 1 + int(dice.expovariate(1 / pause))
            one = dice.randrange(8) if dice.random() < spread else moment // turn
            self.at(moment, self.request, self.processes[one % len(self.processes)])
        for process in self.processes:
            self.at(begin + dice.randrange(SWEEP), self.sweep, process, moment)
        for name in ("kill", "stop", "fork", "step", "change", "reset"):
            for _ in range(getattr(self.trouble, f"{name}s")):
                self.at(
                    dice.randrange(begin, moment + 1),
                    getattr(self, name if name != "step" else "set_back"),
                )
        while self._queue:
            self.now, _, happens, arguments = heapq.heappop(self._queue)
            self.begin_from_zero()
            happens(*arguments)
        return self

    # What happens -----------------------------------------------------------

    def kill(self) -> None:
        process = self.dice.choice(self.processes)
        process.leases = LeasingCounter(process, process.clock)

    def fork(self) -> None:
        """A child takes its parent's place, with all that is in its memory."""
        process = self.dice.choice(self.processes)
        process.leases._start_over()

    def stop(self) -> None:
        """SIGSTOP: the process sleeps, and its clock goes on."""
        process = self.dice.choice(self.processes)
        longest = 3 * self.window.period * MICROSECONDS
        process.stopped_until = max(process.stopped_until, self.now + self.dice.randrange(longest))

    def set_back(self) -> None:
        second = MICROSECONDS
        self.step += self.dice.choice(
            [self.dice.randrange(1, LONGEST_LEASE), self.dice.randrange(1, 200 * second)]
        )

    def change(self) -> None:
        """Staff change the amount, or remove or restore a limit; workers follow one by one."""
        dice, changed = self.dice, self.limits
        if dice.random() < 0.3:
            changed = self.all_limits if len(changed) == 1 else (self.window,)
        amount = max(2, self.window.amount * dice.choice([1, 2, 2, 3]) // 2)
        self.limits = tuple(
            replace(each, amount=amount) if each.pk == 1 else each for each in changed
        )
        self.most[1] = max(self.most[1], amount)
        for process in self.processes:
            self.at(self.now + dice.randrange(2 * MICROSECONDS), process.adopt, self.limits)

    def reset(self) -> None:
        """Staff count limits from zero, by one of the workers or by a command."""
        worker = self.dice.choice([None, *self.processes])
        if worker is not None:
            worker.leases.forget(PRINCIPAL)
        now, some = self.now - self.step, self.dice.choice([self.all_limits, (self.window,)])
        for limit in some:
            wait = self.store.reset(PRINCIPAL, [limit.key])
            latest = max((place for place in self.places if place > now), default=now)
            # Where a clock was set back, what was counted before may lie ahead as well.
            longest = LONGEST_LEASE if self.trouble.steps else latest - now
            assert wait <= longest, "a reset waits longer than for leases"
            self.resets[limit.pk] = now + wait
        self.begin_from_zero()

    def begin_from_zero(self) -> None:
        """Let resets take effect; what was admitted before and after each is judged by itself."""
        for pk, moment in list(self.resets.items()):
            if self.now - self.step >= moment:
                self.worst = max(self.worst, self.excess())
                self.zero[pk] = self.resets.pop(pk)
                self.admitted[pk] = []
                for period in [each for each in self.in_period if each[0] == pk]:
                    del self.in_period[period]

    def sweep(self, process: Process, until: int) -> None:
        if process.stopped_until <= self.now:
            process.leases.give_back_unused()
        if self.now < until:
            self.at(self.now + SWEEP, self.sweep, process, until)

    def request(self, process: Process) -> None:
        """As ``LeasingCounter.check``, in three parts with time between them."""
        if process.stopped_until > self.now:
            self.at(process.stopped_until, self.request, process)
            return
        self.asked += 1
        cost = 1 if self.dice.random() < 0.9 else self.dice.choice([2, 5])
        check = LimitCheck(PRINCIPAL, process.limits, cost)
        decision = process.leases.spend(check)
        if decision is not None:
            self.use(process, cost, decision)
        elif not may_lease(check.limits):
            self.send(process, None, process.clock(), check)
        else:
            caller = process.leases._caller_of(check)
            begun = process.clock()
            self.send(process, caller, begun, caller.prepare(begun, check))

    def use(self, process: Process, cost: int, decision: Decision) -> None:
        """A request is admitted by a lease."""
        assert decision.allowed
        self.spent += 1
        (caller,) = [
            each for each in process.leases._callers[PRINCIPAL] if each.limits == decision.limits
        ]
        assert caller.lease is not None
        place = caller.lease.place
        self.unused[place] -= cost
        assert self.given_back[place] <= self.unused[place]
        self.admit(cost, decision.limits, self.ends_of[place])

    def admit(self, cost: int, limits: tuple[Limit, ...], ends: dict[int, int]) -> None:
        for limit in limits:
            self.admitted[limit.pk].append((self.now, cost))
        for pk, end in ends.items():
            assert self.now - self.step < end, "a lease outlives the period that it is counted in"
            self.in_period[pk, end] += cost

    def ends_under(self, check: LimitCheck) -> dict[int, int]:
        """The ends of the periods in which this check's quotas count."""
        return {limit.pk: self.ends[limit.pk] for limit in check.limits if limit.kind == "quota"}

    def send(self, process: Process, caller: Any, begun: int, check: LimitCheck) -> None:
        self.sent += 1
        way, back = (self.dice.choice([50, 200, self.dice.randrange(LONGEST_WAY)]) for _ in "12")
        is_lost = self.dice.random() < self.trouble.lost
        if is_lost and self.dice.random() < 0.5:
            self.at(self.now + LONGEST_WAY, self.reply, process, caller, begun, check, None)
        else:
            arguments = (process, caller, begun, check, back, is_lost)
            self.at(self.now + way, self.run_script, *arguments)

    def run_script(
        self,
        process: Process,
        caller: Any,
        begun: int,
        check: LimitCheck,
        back: int,
        is_lost: bool,
    ) -> None:
        decision = self.store.check(check)
        # The store's clock was set back: a reset waits for the longest lease at most.
        self.resets = {
            pk: min(moment, decision.now + LONGEST_LEASE) for pk, moment in self.resets.items()
        }
        for place, _, units in check.given_back:
            self.given_back[place] += units
            assert self.given_back[place] <= self.unused[place]
        if decision.allowed:
            # A clock that is set back over midnight: the period that had begun goes on.
            for limit in check.limits:
                if limit.kind == "quota":
                    _, end = calendar_bounds(decision.now, limit.calendar)
                    self.ends[limit.pk] = max(end, self.ends.get(limit.pk, 0))
        if decision.reserved:
            self.places.add(decision.now + check.ahead)
            self.ends_of[decision.now + check.ahead] = self.ends_under(check)
            self.unused[decision.now + check.ahead] += decision.reserved
        if check.cost and not is_lost:
            if decision.allowed:
                self.admit(check.cost, check.limits, self.ends_under(check))
            else:
                self.refuse(check)
        elif check.cost and decision.allowed:
            # Counted, and nobody knows: a request that is never answered.
            self.unused[decision.now] += check.cost
        reply = None if is_lost else decision
        self.at(self.now + back, self.reply, process, caller, begun, check, reply)

    def refuse(self, check: LimitCheck) -> None:
        """Only what would exceed an amount within W + 2W/B if all that is reserved were used."""
        if self.trouble.steps or self.trouble.changes:
            return
        fits = True
        for limit in check.limits:
            if limit.kind == "quota":
                begin, _ = calendar_bounds(self.now, limit.calendar)
            else:
                length = limit.period * MICROSECONDS
                begin = self.now - length - 2 * (length // B)
            used = sum(units for moment, units in self.admitted[limit.pk] if moment > begin)
            # What was reserved before a reset is not counted after it.
            begin = max(begin, self.zero.get(limit.pk, 0))
            held = sum(units for place, units in self.unused.items() if place > begin)
            fits = fits and used + held + check.cost <= limit.amount
        assert not fits, "a request was refused that fits all limits"

    def reply(
        self, process: Process, caller: Any, begun: int, check: LimitCheck, reply: Any
    ) -> None:
        if process.stopped_until > self.now:
            arguments = (process, caller, begun, check, reply)
            self.at(process.stopped_until, self.reply, *arguments)
        elif caller is not None:
            caller.receive(begun, check, reply)

    # What came of it --------------------------------------------------------

    def excess(self) -> int:
        """By how many units any window or period holds more than the largest amount in force."""
        worst = self.worst
        for limit in self.all_limits:
            if limit.kind == "quota":
                held = [units for (pk, _), units in self.in_period.items() if pk == limit.pk]
                worst = max(worst, max(held, default=0) - self.most[limit.pk])
            else:
                length = limit.period * MICROSECONDS
                worst = max(worst, fullest(self.admitted[limit.pk], length) - self.most[limit.pk])
        return worst


def fullest(admitted: list[tuple[int, int]], length: int) -> int:
    """The most units that any window of this length holds."""
    moments = sorted(admitted)
    worst = held = first = 0
    for moment, units in moments:
        held += units
        while moments[first][0] <= moment - length:
            held -= moments[first][1]
            first += 1
        worst = max(worst, held)
    return worst
