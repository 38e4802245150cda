"""What the fuzzing looks at, without a server."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.fuzz import Attempts, Result, broken_lines, note, tables
from benchmarks.fuzz_wire import NoAnswer
from tests.demo_site import DemoSite
from tests.server.hostile import HEADERS

DEMO = DemoSite({"JWT_SECRET": "s" * 32}, "admin", "x", {}, "")


def result(*memory, same=True):
    held = [(number, [value]) for number, value in enumerate(memory)]
    return Result("gunicorn", memory=held, same=same)


def test_every_header_is_tried_and_a_seed_repeats_itself():
    first, again = (list(islice(Attempts(DEMO, 5), 300)) for _ in range(2))
    assert {one.header for one in first} == set(HEADERS)
    assert [one.wire() for one in first] == [one.wire() for one in again]


def test_a_request_arrives_as_it_was_meant():
    for one in islice(Attempts(DEMO, 6), 300):
        head, _, body = one.wire().partition(b"\r\n\r\n")
        assert len(head.split(b"\r\n")) == len(one.headers) + 1
        assert b"\n" not in head.replace(b"\r\n", b"")
        assert body == one.body
        assert one.alone or "Transfer-Encoding" not in one.headers


@pytest.mark.parametrize(
    ("memory", "good"),
    [
        pytest.param((80, 90, 90, 90, 90), True, id="warm-up is no growth"),
        pytest.param((80, 90, 90, 92, 93), True, id="some slack"),
        pytest.param((80, 90, 90, 95, 100), False, id="growth"),
    ],
)
def test_growth_is_looked_for_in_the_second_half(memory, good):
    assert result(*memory).good == good


def test_one_5xx_is_one_too_many():
    one, looked = next(iter(Attempts(DEMO, 7))), result(80, 80, 80)
    for status in (200, 404, NoAnswer.CLOSED, NoAnswer.SERVER):
        note(looked, one, status)
    assert looked.good
    note(looked, one, 500)
    assert not looked.good
    sums = tables(looked)[0].rows[-1]
    assert sums == ["all", 1, 0, 1, 1, 1, 1]


def test_a_site_that_answers_otherwise_than_before_is_not_good():
    assert not result(80, 80, 80, same=False).good


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        (b"INFO apiguard.refusals [id] Refused", False),
        (b"[2026-11-24 01:00:00 +0000] [1] [INFO] Booting", False),
        (b"forged", True),
        (b"INFO a\rINFO b", True),
        (b"INFO a\x1b[2J", True),
    ],
)
def test_a_line_that_nobody_meant_is_seen(line, broken):
    assert bool(broken_lines(line)) == broken
