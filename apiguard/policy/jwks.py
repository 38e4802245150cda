"""The keys of issuers that publish them at a URL: held, refreshed, never waited for.

Promises, per process and issuer:

- A key that is held is found without a lock and without waiting, whatever a
  fetch is doing. Held keys stay valid while the issuer does not answer.
- One fetch at a time, in a thread of its own, and none within ``COOL_DOWN``
  of the last attempt, however many unknown names arrive. So an unknown name
  is remembered for at most that long, and no table of names can be filled.
- A request that names an unknown key may wait for the fetch, for a quarter of a
  second: one request while keys are held, two while none are, and nobody once that
  was in vain, because an issuer that hangs must not take a worker's threads. All
  others get ``KeysAway``.
- What was fetched is stored on the issuer's row, for processes that start
  while the issuer is away. That is no change of policy and publishes nothing.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from django.db import connections
from django.utils import timezone

from .. import conf
from ..concurrency import Busy, DaemonThreads, Flight, SingleFlight, wait
from ..errors import IssuerError
from ..models import JwtIssuer
from ..models.state import write_alias
from ..rules.jwks import read_key_set
from ..rules.key_set import KeySet
from . import load
from .compilers.issuers import issuer_policy
from .jwks_fetch import fetch
from .snapshot import IssuerPolicy, RowProblem

logger = logging.getLogger("apiguard.jwks")

COOL_DOWN = 30.0
"""Seconds from one attempt to the next."""

REFRESH = 600.0
"""Seconds after which held keys are fetched again, so that a withdrawn one goes."""

# How long a request waits for a fetch, and how many do while no keys are held.
WAIT_SECONDS = 0.25
MAX_WAITERS = 2

# More issuers than this never hang at once.
threads = DaemonThreads("apiguard-jwks", most=8, max_queue=1_000)


class KeysAway(Exception):
    """The keys of an issuer cannot be had now; ``retry_after`` is whole seconds."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(f"again in {retry_after} s")
        self.retry_after = retry_after


class KeySource:
    """The keys of one URL, in this process."""

    def __init__(self, issuer: IssuerPolicy) -> None:
        self.issuer = issuer
        self.keys = issuer.keys
        self.fetched_at = issuer.fetched_at
        self.problem: IssuerError | None = None
        self._lock = threading.Lock()
        self._fetches: SingleFlight[str, None] = SingleFlight()
        self._waiters = 0
        # A fetch that a request has waited for in vain: nobody else waits for it.
        self._slow: Flight[None] | None = None
        # Monotonic seconds.
        self._attempted = -math.inf
        self._due = _due(issuer.fetched_at)

    def is_of(self, issuer: IssuerPolicy) -> bool:
        """Whether these keys are fetched from where ``issuer`` says, for its algorithms."""
        mine = self.issuer
        same_rules = mine.rules.algorithms == issuer.rules.algorithms
        return mine is issuer or (mine.jwks_url == issuer.jwks_url and same_rules)

    def update(self, issuer: IssuerPolicy) -> None:
        """Go on by a newer snapshot, whose stored copy may be newer than what is held."""
        self.issuer = issuer
        at = issuer.fetched_at
        if at is not None and issuer.keys and (self.fetched_at is None or at > self.fetched_at):
            self.keys, self.fetched_at, self._due = issuer.keys, at, _due(at)

    def refresh_if_due(self) -> None:
        """Fetch in the background what is old; waits for nothing."""
        if time.monotonic() >= self._due:
            self._start()

    # -- for requests that name an unknown key --------------------------------------

    def settled(self) -> KeySet | None:
        """Return the outcome of the last attempt; ``None`` if another fetch may begin.

        Raises:
            KeysAway: it failed, and the next one is not due yet.
        """
        left = self._attempted + COOL_DOWN - time.monotonic()
        pending = self._pending()
        if pending is not None and pending is self._slow:
            raise KeysAway
        if pending is not None or left <= 0:
            return None
        if self.problem is not None:
            raise KeysAway(max(1, math.ceil(left)))
        return self.keys

    def fetch_once(self) -> KeySet:
        """Return the keys as the issuer publishes them, after one fetch at most.

        Raises:
            KeysAway: they cannot be had, or not soon enough.
        """
        pending = self._start()
        if pending is not None and not self._wait(pending):
            raise KeysAway
        return self.settled() or self.keys

    def _wait(self, pending: Flight[None]) -> bool:
        with self._lock:
            most = 1 if self.keys else MAX_WAITERS
            has_room = pending is not self._slow and self._waiters < most
            self._waiters += has_room
        if not has_room:
            return pending.done.is_set()
        try:
            in_time = wait(pending.done, WAIT_SECONDS)
            if not in_time:
                self._slow = pending
            return in_time
        finally:
            with self._lock:
                self._waiters -= 1

    # -- the fetch --------------------------------------------------------------------

    def _pending(self) -> Flight[None] | None:
        return self._fetches.get(self.issuer.jwks_url)

    def _start(self) -> Flight[None] | None:
        """Return the fetch that is under way, or a new one; ``None`` within the cool-down."""
        with self._lock:
            now = time.monotonic()
            if self._pending() is not None or now < self._attempted + COOL_DOWN:
                return self._pending()
            self._attempted, self._due = now, now + COOL_DOWN
            pending, _is_new = self._fetches.join(self.issuer.jwks_url)
        if conf.current().testing:
            self._fetch(pending)
            return pending
        try:
            threads.submit(lambda: self._fetch(pending), lambda *_: None)
        except Busy:
            self._complete(pending, IssuerError("no_thread", "", "No thread can be started."))
        return pending

    def _fetch(self, pending: Flight[None]) -> None:
        issuer, problem, keys = self.issuer, None, None
        try:
            keys = fetch_keys(issuer)
        except IssuerError as error:
            problem = error
        except Exception as error:
            logger.exception("The keys of issuer %r cannot be fetched.", issuer.name)
            problem = IssuerError("fetch_failed", "", f"{type(error).__name__} while fetching.")
        at = timezone.now()
        self._complete(pending, problem, keys, at)
        if conf.current().policy_max_age is not None:  # Tests write nothing behind their back.
            self._exchange_copies(issuer, keys, at)

    def _complete(
        self,
        pending: Flight[None],
        problem: IssuerError | None,
        keys: KeySet | None = None,
        at: datetime | None = None,
    ) -> None:
        if problem is not None:
            logger.warning("The keys of issuer %r: %s", self.issuer.name, problem)
        elif self.problem is not None:
            logger.warning("The keys of issuer %r can be fetched again.", self.issuer.name)
        with self._lock:
            self.problem = problem
            if keys is not None:
                self.keys, self.fetched_at = keys, at
                self._due = time.monotonic() + REFRESH
        self._fetches.finish(self.issuer.jwks_url, pending, None)

    def _exchange_copies(self, issuer: IssuerPolicy, keys: KeySet | None, at: datetime) -> None:
        """Store what was fetched; else take what another process may have stored."""
        try:
            if keys is not None:
                store_copy(issuer, keys, at)
            elif (row := load.issuer(issuer.pk)) is not None and not row.problems():
                stored = issuer_policy(row)
                if self.is_of(stored):
                    self.update(stored)
        except Exception as error:  # noqa: BLE001 - whatever it is, the held keys stay good
            logger.warning("The copy of the keys of issuer %r: %s", issuer.name, error)
        finally:
            connections.close_all()


class KeySources:
    """One source per issuer that has a URL."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Hold nothing; also for a forked child, whose parent's threads are not its own."""
        self._lock = threading.Lock()
        self._sources: dict[object, KeySource] = {}

    def of(self, issuer: IssuerPolicy) -> KeySource:
        """Return the source of an issuer; a new one where its URL or its algorithms changed."""
        source = self._sources.get(issuer.pk)
        if source is None or not source.is_of(issuer):
            return self._new(issuer)
        if source.issuer is not issuer:
            source.update(issuer)
        return source

    def find(self, issuer: IssuerPolicy) -> KeySource | None:
        """Return the source of an issuer, if there is one already."""
        source = self._sources.get(issuer.pk)
        return source if source is not None and source.is_of(issuer) else None

    def _new(self, issuer: IssuerPolicy) -> KeySource:
        with self._lock:
            source = self._sources.get(issuer.pk)
            if source is None or not source.is_of(issuer):
                source = self._sources[issuer.pk] = KeySource(issuer)
            return source


sources = KeySources()
os.register_at_fork(after_in_child=sources.forget)


def held(issuer: IssuerPolicy) -> KeySet:
    """Return the keys to verify a token by, now; waits for nothing."""
    if not issuer.jwks_url:
        return issuer.keys
    source = sources.of(issuer)
    source.refresh_if_due()
    return source.keys


def peek(issuer: IssuerPolicy) -> KeySet:
    """Return the keys that are held now, without starting a refresh."""
    source = sources.find(issuer)
    return issuer.keys if source is None else source.keys


def fetch_keys(issuer: IssuerPolicy) -> KeySet:
    """Return the keys that an issuer publishes, now.

    Raises:
        IssuerError: they cannot be fetched, or are not a set that can be used.
    """
    settings = conf.current()
    raw = fetch(issuer.jwks_url, settings.jwks_allowed_networks, settings.jwks_ca_file)
    keys = read_key_set(raw, issuer.rules.algorithms)
    for kid, problem in keys.dropped:
        logger.info("Issuer %r: the key %r is not used: %s.", issuer.name, kid, problem)
    return keys


def store_copy(issuer: IssuerPolicy, keys: KeySet, at: datetime) -> None:
    """Keep fetched keys on the issuer's row, if it still names this URL."""
    rows = JwtIssuer.objects.using(write_alias())
    rows.keep_copy(issuer.pk, issuer.jwks_url, keys.as_jwks(), at)


def fetch_now(row: JwtIssuer) -> KeySet:
    """Fetch and store the keys of one row, whatever the cool-down says; for people.

    Raises:
        IssuerError: they cannot be fetched, or are not a set that can be used.
    """
    issuer = issuer_policy(row)
    keys, at = fetch_keys(issuer), timezone.now()
    store_copy(issuer, keys, at)
    sources.of(issuer).update(replace(issuer, keys=keys, fetched_at=at))
    return keys


def fetch_problems(rows: Iterable[JwtIssuer]) -> Iterator[RowProblem]:
    """Yield what keeps the keys of enabled issuers from being fetched; asks each of them."""
    for row in rows:
        if not (row.enabled and row.jwks_url) or row.problems():
            continue
        try:
            fetch_keys(issuer_policy(row))
        except IssuerError as error:
            yield RowProblem("jwtissuer", row.pk, str(row), error.at("jwks_url"))


def _due(fetched_at: datetime | None) -> float:
    """When a copy of this age is fetched again, in monotonic seconds."""
    if fetched_at is None:
        return -math.inf
    age = max(0.0, (timezone.now() - fetched_at).total_seconds())
    return time.monotonic() + REFRESH - age
