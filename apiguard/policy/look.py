"""One look at the database: when it began, and how long to wait for it."""

from __future__ import annotations

import threading
import time

from .. import conf
from . import clock
from .db_threads import wait

# For the state row; who has not heard of it by then takes the database for away.
ANSWER_SECONDS = 2.0
# For the rows, once the state row was read; compiling many of them takes its time.
RELOAD_SECONDS = 20.0
# Who begins a look that need not be waited for waits so long: it mostly is enough.
GRACE_SECONDS = 0.25


class Look:
    """A look that is under way, or done.

    Attributes:
        begun: by our clock; what is read later cannot be older.
        refreshed_at: the same in epoch seconds, for people.
        count: how many changes this process had committed by then.
        is_answered: the state row was read; from then on the rows are.
        given_up: it was taken for failed, which does not keep it from ending well.
        done: set when it ended, well or not.
    """

    __slots__ = ("begun", "count", "done", "given_up", "is_answered", "refreshed_at")

    def __init__(self, count: int) -> None:
        self.begun, self.refreshed_at = clock.seconds(), time.time()
        self.count = count
        self.is_answered = self.given_up = False
        self.done = threading.Event()

    @property
    def hangs(self) -> bool:
        """Whether it takes longer than anybody waits for it."""
        patience = RELOAD_SECONDS if self.is_answered else ANSWER_SECONDS
        return clock.seconds() - self.begun >= patience

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, and for a reload if one follows; whether it is done."""
        if seconds and not wait(self.done, seconds) and self.is_answered:
            wait(self.done, RELOAD_SECONDS if seconds >= ANSWER_SECONDS else 0)
        return self.done.is_set()

    def is_good_for(self, count: int) -> bool:
        """Whether it saw ``count`` changes of this process, and the machine did not sleep."""
        max_age = conf.current().policy_max_age or 0
        lately = clock.seconds() - self.begun < max(2 * max_age, ANSWER_SECONDS)
        return self.count >= count and lately
