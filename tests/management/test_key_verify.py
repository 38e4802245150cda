"""A scan of a text: which keys in it are live, and an end to them."""

from __future__ import annotations

import io
import random
import sys
import tracemalloc
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apiguard.management.commands import _key_verify
from apiguard.management.commands._key_verify import candidates
from apiguard.models import ApiKey, Client, PolicyChange
from apiguard.rules import keys as key_rules


@pytest.fixture
def verify(run, monkeypatch):
    """``verify(text, "--json")``: the command, with ``text`` on standard input."""

    def go(text, *more):
        data = text if isinstance(text, bytes) else text.encode()
        stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", stdin)
        said = run("key", "verify", "-", *more)
        for key in key_rules.find(data, "ag"):
            if key[1] is not None:
                assert key[1].secret not in said.out + said.err
        return said

    return go


@pytest.fixture
def laptop(acme):
    return ApiKey.objects.issue(acme, "laptop")


def wrong(text):
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_a_live_key_in_a_log_is_found_with_its_line(verify, laptop):
    key, text = laptop
    said = verify(f"first\nGET /?key=%22{text}%22 HTTP/1.1\nand {text} again\n")
    assert said.status == 1
    assert f"line 2: ag_live_{key.key_id}_… is live: 'laptop' of acme." in said.out
    assert said.out.count(key.key_id) == 1
    assert "1 live key found" in said.err


def test_candidates_may_stand_one_per_line(verify, acme):
    texts = [ApiKey.objects.issue(acme, name)[1] for name in "abc"]
    told = verify("\n".join(texts), "--json")
    assert [each["line"] for each in told.json["keys"]] == [1, 2, 3]
    assert [each["name"] for each in told.json["keys"]] == ["a", "b", "c"]


def test_dead_and_strange_keys_are_distinguished_and_nothing_was_found(verify, acme, laptop):
    revoked, revoked_text = ApiKey.objects.issue(acme, "revoked")
    revoked.revoke("lost")
    expired_text = ApiKey.objects.issue(acme, "expired", expires_at=timezone.now())[1]
    stranger = key_rules.generate("ag", "live").text
    forged = key_rules.generate("ag", "live")
    ApiKey.objects.update(name="same")
    ApiKey.objects.filter(pk=laptop[0].pk).update(key_id=forged.key_id)
    given_ = [revoked_text, expired_text, stranger, forged.text, wrong(stranger)]
    said = verify(" ".join(given_), "--json")
    assert said.status == 0
    assert [(each["verdict"], each["state"]) for each in said.json["keys"]] == [
        ("dead", "revoked"),
        ("dead", "expired"),
        ("unknown", None),
        ("another secret", None),
    ]
    assert said.json["wrong_checksum"] == 1
    lines = verify(" ".join(given_)).out
    for word in ("dead (revoked)", "dead (expired)", "is unknown", "another one", "wrong checksum"):
        assert word in lines


@pytest.mark.parametrize("why", ["client", "test", "early"])
def test_a_key_that_is_refused_for_now_is_live(verify, acme, why):
    later = timezone.now() + timedelta(days=9) if why == "early" else None
    environment = "test" if why == "test" else "live"
    _, text = ApiKey.objects.issue(acme, "k", environment=environment, not_before=later)
    if why == "client":
        Client.objects.update(enabled=False)
    with override_settings(APIGUARD={"ALLOW_TEST_KEYS": False, "KEY_PEPPERS": {"tests": "p"}}):
        ApiKey.objects.update(digest=key_rules.digest(text, b"p"))
        said = verify(text, "--json")
    assert said.status == 1
    assert said.json["keys"][0]["state"] != "valid"


def test_where_the_pepper_is_gone_a_key_is_reported_by_its_id(verify, laptop):
    with override_settings(APIGUARD={"KEY_PEPPERS": {}}):
        said = verify(laptop[1])
    assert said.status == 1
    assert "by its id alone" in said.out


def test_live_keys_are_ended_for_a_reason(verify, acme, laptop):
    key, text = laptop
    other = ApiKey.objects.issue(acme, "other")[0]
    said = verify(text, "--revoke", "--reason", "in a public repository")
    key.refresh_from_db()
    other.refresh_from_db()
    assert (said.status, "revoked now" in said.out) == (1, True)
    assert (key.revoke_reason, other.revoked_at) == ("in a public repository", None)
    assert PolicyChange.objects.first().actor_name == "apiguard key verify (command line)"
    assert verify(text).status == 0


@pytest.mark.parametrize("options", [("--revoke",), ("--reason", "why")])
def test_an_end_and_its_reason_go_together(verify, laptop, options):
    said = verify(laptop[1], *options)
    assert (said.status, said.out) == (2, "")
    assert ApiKey.objects.get().revoked_at is None


def test_a_key_as_an_argument_is_refused_and_not_repeated(run, laptop):
    said = run("key", "verify", laptop[1])
    assert said.status != 0
    assert laptop[1].rpartition("_")[2] not in said.out + said.err


@pytest.mark.parametrize("text", ["", "nothing here", b"\xff\xfe\x00ag_live_"])
def test_a_text_without_keys_is_no_find(verify, acme, text):
    said = verify(text)
    assert (said.status, said.out) == (0, "Found: 0 live, 0 dead, 0 another secret, 0 unknown.\n")


def test_many_candidates_cost_a_query_per_batch(verify, acme, django_assert_max_num_queries):
    text = "\n".join(key_rules.generate("ag", "live").text for _ in range(450))
    with django_assert_max_num_queries(10):
        told = verify(text, "--json").json
    assert told["counts"]["unknown"] == 450


def test_what_strangers_made_up_is_listed_to_a_bound_and_counted(verify, acme, monkeypatch):
    monkeypatch.setattr(_key_verify, "MOST_STRANGERS", 3)
    text = "\n".join(key_rules.generate("ag", "live").text for _ in range(5))
    told = verify(text, "--json").json
    assert (len(told["keys"]), told["not_listed"], told["counts"]["unknown"]) == (3, 2, 5)


class Endless(io.RawIOBase):
    """Garbage with keys in it, as long as wanted, never held at once."""

    def __init__(self, pieces, key):
        self.pieces, self.key = pieces, key

    def read(self, size=-1):
        if not self.pieces:
            return b""
        self.pieces -= 1
        return (b"ag_live_" + b"x" * 1000) * 60 + (self.key if not self.pieces else b"")


def test_a_huge_text_takes_bounded_memory():
    text = key_rules.generate("ag", "live").text.encode()
    tracemalloc.start()
    try:
        found = [each.parts for each in candidates(Endless(500, text), "ag")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [each.text for each in found] == [text.decode()]
    assert peak < 2_000_000


@given(st.integers(0, 3), st.integers(1, 90), st.randoms(use_true_random=False))
def test_keys_are_found_wherever_the_text_is_cut(count, piece, chance: random.Random):
    texts = [key_rules.generate("ag", "test").text for _ in range(count)]
    noise = ["ag_", "ag_live_", "\n", "é", "x" * 70, "ag_test_" + "a" * 12 + "_" + "b" * 36 + "ag"]
    parts = [part for text in texts for part in (chance.choice(noise), text)]
    data = "".join([*parts, chance.choice(noise)]).encode()

    class Small(io.BytesIO):
        def read(self, size=-1):
            return super().read(piece)

    found = list(candidates(Small(data), "ag"))
    assert [each.parts.text for each in found if each.parts] == texts
    for each in found:
        if each.parts:
            before = data[: data.index(each.parts.text.encode())]
            assert each.line == before.count(b"\n") + 1


@given(st.binary(max_size=400))
def test_no_bytes_raise(data):
    assert all(each.parts is None for each in candidates(io.BytesIO(data), "ag"))
