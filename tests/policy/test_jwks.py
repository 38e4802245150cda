"""Keys of issuers: held through outages, fetched once, waited for by few, stored for others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from apiguard.concurrency import DaemonThreads, Flight
from apiguard.errors import IssuerError
from apiguard.models import JwtIssuer, PolicyState
from apiguard.policy import jwks, jwks_fetch
from apiguard.policy.compilers.issuers import issuer_policy
from apiguard.policy.jwks import WAIT_SECONDS, KeysAway, held, sources
from tests.key_server import answer, hang, key_server, serve
from tests.request.site import settings_of
from tests.signing import public_jwk

OLD, NEW = public_jwk("ES256", "old"), public_jwk("ES256", "new", 2)
URL = "https://issuer.test/keys"


class Clock:
    """Monotonic seconds that pass when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Issuer:
    """Plays ``fetch``: counts, and answers what it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.says: object = {"keys": [OLD]}
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self, url, allowed, ca_file):
        self.asked += 1
        says = self.says
        self.go_on.wait(60)
        if isinstance(says, Exception):
            raise says
        return answer(says).partition(b"\r\n\r\n")[2]


DOWN = IssuerError("timeout", "", "It does not answer.")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jwks, "time", clock)
    return clock


@pytest.fixture
def world(monkeypatch):
    played = Issuer()
    monkeypatch.setattr(jwks, "fetch", played.fetch)
    # A machine that is busy with other tests is no issuer that hangs.
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 60)
    sources.forget()
    yield played
    played.go_on.set()
    sources.forget()


def row(copy=None, age=0, **fields):
    values = {
        "pk": 5,
        "name": "i",
        "issuer": "https://issuer.example",
        "audiences": ["api"],
        "algorithms": ["ES256"],
        "jwks_url": URL,
        "fetched_jwks": None if copy is None else {"keys": copy, "url": URL},
        "fetched_at": None if copy is None else timezone.now() - timedelta(seconds=age),
        **fields,
    }
    return JwtIssuer(**values)


def policy(*args, **fields):
    return issuer_policy(row(*args, **fields))


def kids(keys):
    return [key.kid for key in keys.keys]


def land(issuer):
    """Wait for the fetch that is under way."""
    fetch = sources.of(issuer)._pending()
    if fetch is not None:
        assert fetch.done.wait(60)


def ask(issuer):
    return kids(sources.of(issuer).fetch_once())


def away(issuer):
    with pytest.raises(KeysAway) as raised:
        sources.of(issuer).fetch_once()
    return raised.value.retry_after


def test_keys_that_are_not_fetched_are_at_hand():
    pasted = policy(jwks_url="", jwks={"keys": [OLD]})
    assert kids(held(pasted)) == ["old"]
    assert sources._sources == {} or 5 not in sources._sources


def test_the_first_question_waits_for_the_keys(world):
    issuer = policy()
    world.go_on.clear()
    assert kids(held(issuer)) == []
    world.go_on.set()
    assert ask(issuer) == ["old"]
    assert kids(held(issuer)) == ["old"]
    assert world.asked == 1


def test_a_stored_copy_serves_without_asking(world):
    issuer = policy([OLD])
    assert kids(held(issuer)) == ["old"]
    assert world.asked == 0


def test_an_old_copy_serves_while_it_is_fetched_again(world):
    issuer, world.says = policy([OLD], age=jwks.REFRESH + 1), {"keys": [NEW]}
    world.go_on.clear()
    assert kids(held(issuer)) == ["old"]
    world.go_on.set()
    land(issuer)
    assert kids(held(issuer)) == ["new"]
    assert world.asked == 1


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param({"keys": [OLD], "url": "https://former.example/keys"}, id="another URL's"),
        pytest.param({"keys": [OLD]}, id="of no URL"),
        pytest.param({"keys": [public_jwk("ES384", "x")], "url": URL}, id="other algorithms"),
        pytest.param({"url": URL}, id="no set"),
        pytest.param([], id="a list"),
        pytest.param("keys", id="a string"),
    ],
)
def test_a_copy_that_is_not_of_this_issuer_serves_nothing(copy):
    assert kids(policy([], fetched_jwks=copy).keys) == []


def test_a_private_key_in_a_copy_is_not_held():
    assert kids(policy([OLD, {**NEW, "d": NEW["x"]}]).keys) == ["old"]


def test_known_keys_never_wait_for_a_fetch_that_hangs(world, clock):
    issuer = policy([OLD])
    held(issuer)
    world.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(away, issuer)
        while not world.asked:
            pass
        for _ in range(1000):
            assert kids(held(issuer)) == ["old"]
        world.go_on.set()
        waiting.cancel() or waiting.exception()
    assert world.asked == 1


def test_while_keys_are_held_one_request_waits_and_the_others_are_sent_away(world, monkeypatch):
    issuer = policy([OLD])
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 60)
    world.says = {"keys": [OLD, NEW]}
    world.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, issuer)
        while not sources.of(issuer)._waiters:
            pass
        assert [away(issuer) for _ in range(100)] == [1] * 100
        world.go_on.set()
        assert first.result() == ["old", "new"]
    assert world.asked == 1


def test_while_no_key_is_held_a_bounded_number_of_requests_waits(world, monkeypatch):
    issuer = policy()
    monkeypatch.setattr(jwks, "MAX_WAITERS", 3)
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 60)
    world.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(ask, issuer) for _ in range(3)]
        while sources.of(issuer)._waiters < 3:
            pass
        assert away(issuer) == 1
        world.go_on.set()
        assert [one.result() for one in waiting] == [["old"]] * 3
    assert world.asked == 1


@pytest.mark.parametrize("copy", [None, [OLD]], ids=["no keys held", "keys held"])
def test_a_fetch_that_was_waited_for_in_vain_is_waited_for_by_nobody_else(world, monkeypatch, copy):
    issuer, waits = policy(copy), []
    monkeypatch.setattr(jwks, "wait", lambda event, seconds: waits.append(seconds))
    world.go_on.clear()
    assert [away(issuer) for _ in range(30)] == [1] * 30
    assert waits == [60]
    assert WAIT_SECONDS == 0.25
    # Memory knows it, too: an event loop needs no thread for that.
    with pytest.raises(KeysAway):
        sources.of(issuer).settled()
    monkeypatch.undo()
    world.go_on.set()


def test_unknown_names_during_the_cool_down_do_not_prolong_it(world, clock):
    issuer = policy([OLD])
    ask(issuer)
    world.says = {"keys": [OLD, NEW]}
    for _ in range(29):
        clock.now += 1
        assert ask(issuer) == ["old"]
    clock.now += 1
    assert ask(issuer) == ["old", "new"]


def test_a_request_that_waited_too_long_gets_retry_after_and_the_fetch_goes_on(world, monkeypatch):
    issuer = policy([OLD])
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 0.05)
    world.says = {"keys": [NEW]}
    world.go_on.clear()
    assert away(issuer) == 1
    assert kids(held(issuer)) == ["old"]
    world.go_on.set()
    land(issuer)
    assert kids(held(issuer)) == ["new"]


def test_a_thousand_unknown_names_cause_one_fetch_per_cool_down(world, clock):
    issuer = policy([OLD])
    for _ in range(3):
        for _ in range(1000):
            assert ask(issuer) == ["old"]
        clock.now += jwks.COOL_DOWN
    assert world.asked == 3


def test_a_thousand_threads_cause_one_fetch(world):
    issuer = policy()
    with ThreadPoolExecutor(50) as pool:

        def one(_):
            try:
                return ask(issuer)
            except KeysAway:
                return None

        assert ["old"] in list(pool.map(one, range(1000)))
    assert world.asked == 1


def test_the_cool_down_counts_from_the_last_attempt_also_a_failed_one(world, clock):
    issuer, world.says = policy([OLD]), DOWN
    assert away(issuer) == 30
    clock.now += 10.5
    assert away(issuer) == 20
    assert world.asked == 1
    clock.now += 20
    world.says = {"keys": [NEW]}
    assert ask(issuer) == ["new"]
    assert world.asked == 2


def test_nothing_is_settled_while_the_issuer_may_be_fetched(world, clock):
    issuer = policy([OLD])
    assert sources.of(issuer).settled() is None
    ask(issuer)
    assert kids(sources.of(issuer).settled()) == ["old"]
    clock.now += jwks.COOL_DOWN
    assert sources.of(issuer).settled() is None
    world.says = DOWN
    away(issuer)
    with pytest.raises(KeysAway):
        sources.of(issuer).settled()


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(DOWN, id="no answer"),
        pytest.param(RuntimeError("unforeseen"), id="an unforeseen error"),
        pytest.param({"keys": []}, id="an empty set"),
        pytest.param(b"<html>", id="garbage"),
        pytest.param({"keys": [OLD, OLD]}, id="an ambiguous set"),
        pytest.param({"keys": [public_jwk("RS256")]}, id="another family's set"),
    ],
)
def test_the_last_good_keys_stay_through_whatever_is_wrong(world, clock, says, caplog):
    issuer = policy()
    assert ask(issuer) == ["old"]
    world.says = says
    clock.now += jwks.REFRESH
    held(issuer)
    land(issuer)
    assert world.asked == 2
    assert kids(held(issuer)) == ["old"]
    assert "'i'" in caplog.text
    clock.now += jwks.COOL_DOWN
    world.says = {"keys": [NEW]}
    assert ask(issuer) == ["new"]
    assert "can be fetched again" in caplog.text


def test_a_withdrawn_key_goes_with_the_next_refresh(world, clock):
    issuer, world.says = policy(), {"keys": [OLD, NEW]}
    assert ask(issuer) == ["old", "new"]
    world.says = {"keys": [NEW]}
    clock.now += jwks.REFRESH
    held(issuer)
    land(issuer)
    assert kids(held(issuer)) == ["new"]


def test_known_keys_start_no_fetch_while_the_issuer_is_down(world, clock):
    issuer, world.says = policy([OLD], age=jwks.REFRESH), DOWN
    for _ in range(100):
        held(issuer)
        land(issuer)
    assert world.asked == 1
    clock.now += jwks.COOL_DOWN
    held(issuer)
    land(issuer)
    assert world.asked == 2


@pytest.mark.parametrize(
    "change",
    [{"jwks_url": "https://new.example/keys"}, {"algorithms": ["ES384"]}],
    ids=["another URL", "other algorithms"],
)
def test_keys_of_a_row_as_it_was_are_not_those_of_the_row_as_it_is(world, change):
    assert ask(policy()) == ["old"]
    changed = policy(**change)
    world.go_on.clear()
    assert kids(held(changed)) == []
    # Else its thread might fetch from the issuer of the next test.
    world.go_on.set()
    land(changed)


def test_a_newer_snapshot_keeps_what_is_held(world):
    assert ask(policy()) == ["old"]
    assert kids(held(policy([NEW], age=60, tier_claim="t"))) == ["old"]
    assert world.asked == 1


def test_a_newer_copy_of_a_newer_snapshot_is_taken_over(world):
    first = policy([OLD], age=60)
    assert kids(held(first)) == ["old"]
    assert kids(held(policy([NEW]))) == ["new"]
    assert kids(held(first)) == ["new"]
    assert world.asked == 0


def test_issuers_have_keys_of_their_own(world):
    a, b = policy([OLD]), policy([NEW], pk=6, issuer="https://b.example")
    assert (kids(held(a)), kids(held(b))) == (["old"], ["new"])


def test_no_thread_can_be_had(world, monkeypatch, clock):
    issuer = policy([OLD])

    def full(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(jwks, "threads", DaemonThreads("tests", most=1, max_queue=1))
    monkeypatch.setattr(threading.Thread, "start", full)
    assert away(issuer) == 30
    assert kids(held(issuer)) == ["old"]


def test_a_forked_child_holds_nothing_of_its_parents_threads(world):
    issuer = policy()
    world.go_on.clear()
    held(issuer)
    sources.forget()
    assert sources.of(issuer)._pending() is None


# -- the row ------------------------------------------------------------------------

SAVED = {"pk": None, "name": "saved"}


@pytest.fixture
def saved(db, world):
    issuer = row(**SAVED)
    issuer.save()
    return issuer


def looks(**members):
    return override_settings(APIGUARD=settings_of(POLICY_MAX_AGE=1.0, **members))


def test_what_was_fetched_is_stored_and_publishes_nothing(saved):
    revision = PolicyState.objects.get().revision
    assert kids(jwks.fetch_now(saved)) == ["old"]
    saved.refresh_from_db()
    assert saved.fetched_jwks == {"keys": [OLD], "url": URL}
    assert saved.fetched_at is not None
    assert PolicyState.objects.get().revision == revision
    assert kids(issuer_policy(saved).keys) == ["old"]


def test_a_copy_is_not_stored_on_a_row_that_names_another_url_now(saved):
    before = issuer_policy(saved)
    JwtIssuer.objects.update(jwks_url="https://new.example/keys")
    jwks.store_copy(before, before.keys, timezone.now())
    saved.refresh_from_db()
    assert saved.fetched_jwks is None


def test_an_older_copy_does_not_replace_a_newer_one(saved):
    jwks.fetch_now(saved)
    old = replace(issuer_policy(saved))
    jwks.store_copy(old, jwks.KeySet(), timezone.now() - timedelta(minutes=1))
    saved.refresh_from_db()
    assert saved.fetched_jwks["keys"] == [OLD]


@pytest.mark.django_db(transaction=True)
def test_a_fetch_in_the_background_stores_its_copy(world):
    saved = row(**SAVED)
    saved.save()
    issuer = issuer_policy(saved)
    with looks():
        sources.of(issuer)._fetch(Flight())
    saved.refresh_from_db()
    assert saved.fetched_jwks["keys"] == [OLD]


@pytest.mark.django_db(transaction=True)
def test_a_failed_fetch_takes_what_another_process_stored_meanwhile(world):
    saved = row([OLD], age=60, **SAVED)
    saved.save()
    issuer, world.says = issuer_policy(saved), DOWN
    source = sources.of(issuer)
    JwtIssuer.objects.filter(pk=saved.pk).update(
        fetched_jwks={"keys": [NEW], "url": URL}, fetched_at=timezone.now()
    )
    with looks():
        source._fetch(Flight())
    assert kids(held(issuer)) == ["new"]


def test_a_row_that_cannot_be_written_costs_nobody_their_keys(world, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("the database is away")

    monkeypatch.setattr(jwks, "store_copy", broken)
    issuer = policy()
    with looks():
        sources.of(issuer)._fetch(Flight())
    assert kids(held(issuer)) == ["old"]
    assert "the database is away" in caplog.text


# -- for people -----------------------------------------------------------------------


def test_check_lists_issuers_whose_keys_cannot_be_fetched(world):
    world.says = DOWN
    rows = [
        row(name="down"),
        row(name="off", enabled=False),
        row(name="pasted", jwks_url="", jwks={"keys": [OLD]}),
        row(name="broken", audiences=[]),
    ]
    (problem,) = jwks.fetch_problems(rows)
    assert (problem.model, problem.name, problem.error.field) == ("jwtissuer", "down", "jwks_url")
    assert "does not answer" in problem.error.reason
    world.says = {"keys": [OLD]}
    assert list(jwks.fetch_problems(rows)) == []


def test_the_real_fetch_is_the_default(tmp_path, monkeypatch):
    sources.forget()
    monkeypatch.setattr(jwks_fetch, "_lookup", lambda host, port: ["127.0.0.1"])
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 60)
    with key_server(tmp_path) as server:
        exceptions = {"JWKS_ALLOWED_NETWORKS": ["127.0.0.0/8"], "JWKS_CA_FILE": server.ca_file}
        issuer = policy(jwks_url=server.url())
        server.behaviour = serve({"keys": [OLD]})
        with override_settings(APIGUARD=settings_of(**exceptions)):
            assert ask(issuer) == ["old"]
        server.behaviour = hang
        assert kids(held(issuer)) == ["old"]
