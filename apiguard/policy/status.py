"""The status of the policy in force in one process: plain values for people, nothing secret."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import conf

if TYPE_CHECKING:
    from .snapshot import Snapshot

LONGEST_ERROR = 200

# Besides twice POLICY_MAX_AGE: seconds between two refreshes of a process that has requests.
IDLE_MARGIN = 3.0

# Drivers repeat the address that they connect to, which may hold a password.
SECRETS = re.compile(
    r"[\w+.-]+://\S+|\b(?:password|passwd|pwd)\s*=\s*(?:'[^']*'|\S+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """What a process knows of its own policy at one moment.

    Attributes:
        revision: of the held policy; ``None``: it holds none.
        stamp: that belongs to the revision; "" where there is none.
        refreshed_at: epoch seconds of the last refresh that succeeded.
        in_force_since: epoch seconds since when this revision is in force here.
        delay: seconds from the publication of this revision until then, at
            least 0; ``None`` where this process did not wait for it: it was
            published before the first refresh.
        failed_since: epoch seconds of the first of the refreshes that fail now.
        error: class and message of the last of them, without passwords; else "".
        problems: how many mistakes the policy in force has.
    """

    revision: int | None = None
    stamp: str = ""
    refreshed_at: float | None = None
    in_force_since: float | None = None
    delay: float | None = None
    failed_since: float | None = None
    error: str = ""
    problems: int = 0

    def seen(
        self, snapshot: Snapshot | None, refreshed_at: float, published_at: float | None
    ) -> PolicyStatus:
        """Return the status after a refresh that found ``snapshot``."""
        if snapshot is None:
            return PolicyStatus(refreshed_at=refreshed_at)
        now = replace(self, refreshed_at=refreshed_at, failed_since=None, error="")
        if (self.revision, self.stamp) == (snapshot.revision, snapshot.stamp):
            return now
        at = time.time()
        delay = None
        if self.revision is not None and published_at is not None:
            # An idle process refreshes when its next request comes, and waited for nothing before.
            delay = at - (refreshed_at if self._was_idle(refreshed_at) else published_at)
        return replace(
            now,
            revision=snapshot.revision,
            stamp=snapshot.stamp,
            in_force_since=at,
            # Two machines' clocks may differ.
            delay=None if delay is None else max(0.0, delay),
            problems=len(snapshot.problems),
        )

    def _was_idle(self, refreshed_at: float) -> bool:
        """Whether no request needed policy before the refresh at ``refreshed_at``."""
        if self.refreshed_at is None or self.failed_since is not None:
            return False
        max_age = conf.current().policy_max_age or 1.0
        return refreshed_at - self.refreshed_at > 2 * max_age + IDLE_MARGIN


def redacted(error: BaseException) -> str:
    """Return an error in one line that may be shown and stored: without URLs and passwords."""
    lines = str(error).strip().splitlines()
    message = SECRETS.sub("(hidden)", lines[0] if lines else "")
    name = type(error).__name__
    return f"{name}: {message}"[:LONGEST_ERROR] if message else name
