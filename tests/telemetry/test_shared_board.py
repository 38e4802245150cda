"""Where workers leave word: beside what is counted, and apart from it."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from apiguard.conf import Settings
from apiguard.counters.base import hash_principal, key_for
from apiguard.telemetry.board import board_for


def test_workers_that_count_in_memory_share_no_board():
    assert board_for(Settings()) is None


@pytest.mark.parametrize("name", ["apiguard", "redis+cluster://127.0.0.1:7000"])
def test_the_board_is_one_key_that_no_count_ever_has(name):
    board = board_for(Settings(counter=name, counter_prefix="shop"))
    assert board.key == "shop:{workers}"
    assert key_for("shop", hash_principal("workers"), 1).count(":") > board.key.count(":")
    assert key_slot(board.key.encode()) == key_slot(b"workers")
