"""A shared store, and what each limit wants to happen while it is away.

``local``: counted in this process's memory, so N processes together admit up
to N times the amount. ``open``: not counted. ``closed``: nothing is admitted,
and that is an exception of its own, never a denial. A shadow limit that is
``closed`` refuses nobody: it is not counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from ..rules.limits import Decision, Limit
from .base import Answered, Asked, Counter, Question, StoreFailed, asking
from .breaker import Breaker, Phase

logger = logging.getLogger(__name__)


class ResilientCounter:
    """Asks ``store`` while its breaker allows it, else decides as the limits say.

    Args:
        store: may raise ``StoreFailed``; every such failure is logged.
        local: counts what says ``local`` while the store is away; never fails.
        breaker: the store's own, shared by all who ask it.
    """

    def __init__(self, store: Counter, local: Counter, breaker: Breaker) -> None:
        self._store = store
        self._ask = asking(store)
        self._local = local
        self.breaker = breaker

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        """As ``Counter.decide``; what was not counted is not in the decision.

        Raises:
            StoreFailed: the store is away, and one of the limits is ``closed``.
        """
        return self.ask(Question(principal, tuple(limits), cost, commit)).answer()

    def ask(self, question: Question) -> Asked:
        """As ``decide``, in two steps where the store has two."""
        # No limits ask nobody, and so say nothing about the store.
        phase = self.breaker.allowed() if question.limits else None
        if phase is None:
            return Answered(self._without_store(question))
        try:
            asked = self._ask(question)
        except StoreFailed as error:
            return Answered(self.failed(error, phase, question))
        except BaseException:
            self.breaker.failed(phase)
            raise
        underway = _Underway(self, question, phase, asked)
        return Answered(underway.answer()) if isinstance(asked, Answered) else underway

    def failed(self, error: StoreFailed, phase: Phase, question: Question) -> Decision:
        """What is decided instead."""
        self.breaker.failed(phase)
        logger.warning("The counter's store failed. %s", error)
        return self._without_store(question)

    def _without_store(self, question: Question) -> Decision:
        principal, limits, cost, commit = question
        closed = [
            limit.name
            for limit in limits
            if limit.on_store_failure == "closed" and not limit.shadow
        ]
        if closed:
            raise StoreFailed(f"the counter is away, and {', '.join(closed)} must be counted")
        counted_here = [limit for limit in limits if limit.on_store_failure == "local"]
        return self._local.decide(principal, counted_here, cost, commit=commit)


class _Underway(NamedTuple):
    """A question to the store, and whom to tell what came of it."""

    counter: ResilientCounter
    question: Question
    phase: Phase
    asked: Asked

    def answer(self) -> Decision:
        try:
            decision = self.asked.answer()
        except StoreFailed as error:
            return self.counter.failed(error, self.phase, self.question)
        except BaseException:
            self.counter.breaker.failed(self.phase)
            raise
        self.counter.breaker.succeeded(self.phase)
        return decision

    def give_up(self) -> None:
        # That says nothing about the store; but who probes, probes alone, and must say something.
        if self.phase.probe_at is not None:
            self.counter.breaker.failed(self.phase)
        self.asked.give_up()
