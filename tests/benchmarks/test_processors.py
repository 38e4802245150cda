"""Where a benchmark lets Redis and those who ask work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks import processors

pytestmark = pytest.mark.skipif(
    not processors.can_be_told(), reason="needs Linux, and two processors"
)


@pytest.fixture
def other():
    """A process that is not ours to measure."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as popen:
        yield popen.pid
        popen.kill()


@pytest.mark.parametrize("name", processors.ARRANGEMENTS)
def test_processors_are_given_back(other, name):
    mine = os.sched_getaffinity(0)
    with (
        pytest.raises(ZeroDivisionError),
        processors.arranged(other, processors.ARRANGEMENTS[name]),
    ):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == mine


@pytest.mark.parametrize(("name", "shared"), [("one for both", True), ("one for each", False)])
def test_each_has_one_processor_meanwhile(other, name, shared):
    with processors.arranged(other, processors.ARRANGEMENTS[name]):
        ours, theirs = os.sched_getaffinity(0), os.sched_getaffinity(other)
    assert (len(ours), len(theirs)) == (1, 1)
    assert (ours == theirs) is shared


def test_nothing_is_measured_where_nothing_can_be_told(monkeypatch):
    monkeypatch.setattr(processors, "can_be_told", lambda: False)
    assert processors.measure(None, 0, 1) == {}
