"""Where workers leave word: beside what is counted, and apart from it."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from apiguard.conf import Settings
from apiguard.counters.base import hash_principal, key_for
from apiguard.telemetry.worker_registry import registry_for


def test_workers_that_count_in_memory_share_no_registry():
    assert registry_for(Settings()) is None


@pytest.mark.parametrize("name", ["apiguard", "redis+cluster://127.0.0.1:7000"])
def test_the_registry_is_one_key_that_no_count_ever_has(name):
    registry = registry_for(Settings(counter=name, counter_prefix="shop"))
    assert registry.key == "shop:{workers}"
    assert key_for("shop", hash_principal("workers"), 1).count(":") > registry.key.count(":")
    assert key_slot(registry.key.encode()) == key_slot(b"workers")
