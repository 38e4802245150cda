from __future__ import annotations

from apiguard.counters.base import hash_principal, key_for


def test_a_key_keeps_a_principal_on_one_cluster_slot():
    assert key_for("apiguard", "ab12", 7) == "apiguard:{ab12}:7"


def test_a_principal_is_hashed_to_128_bits():
    assert len(bytes.fromhex(hash_principal("client:1"))) == 16
    assert hash_principal("client:1") != hash_principal("client:2")


def test_the_hash_of_a_principal_is_the_same_in_every_process():
    assert hash_principal("client:1") == "ed723b28d99b5ebcd7fb3164a51201ac"


def test_any_text_can_be_hashed():
    assert hash_principal("jwt:1:\ud800")
