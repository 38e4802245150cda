"""What the tests of the policy in force share: a clock, threads, and other processes."""

from __future__ import annotations

import threading

from django.db import connections

from apiguard.models import Route
from apiguard.models.state import committed

AGE, STALENESS = 1.0, 60.0
SECONDS_TO_WAIT = 10


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def forward(self, seconds):
        self.now += seconds


def elsewhere(change):
    """Run ``change`` as another process would: this one hears nothing of it."""
    known = committed.count
    change()
    committed.count = known


def add_route(name):
    return Route.objects.create(name=name, path_prefix=f"/{name}/", access="public")


def names(snapshot):
    return {route.name for route in snapshot.routes._entries.values()}


def in_thread(function):
    """Start ``function`` in a thread; returns it, and a list that gets the result."""
    results = []

    def run():
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - handed to the test
            results.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results
