"""The stages can judge a request without counting it: a driver that peeks changes nothing."""

from __future__ import annotations

import pytest

from apiguard import conf
from apiguard.counters.memory import MemoryCounter
from apiguard.policy import jwks
from apiguard.request import failed_credentials, pipeline
from apiguard.request.effects import limit_counter, peek, perform, run
from apiguard.request.verdict import Outcome
from apiguard.rules import keys
from apiguard.telemetry.buffer import buffer
from tests.request.site import Call, Caller, guarded, route, settings_of, tier


def judged(call, snapshot, do=peek):
    """The verdict on a call, driven to its end by ``do``."""
    context = call.context(snapshot)
    return run(pipeline.judge(context), context, do)


def with_key(text):
    return Call(headers={"X-API-Key": text})


def tables(snapshot):
    """Everything that requests leave behind in this process."""
    settings = conf.current()
    failures = failed_credentials.failures(settings)
    counter = limit_counter(settings)._counter
    assert isinstance(counter, MemoryCounter)
    return {
        "keyring": len(snapshot.keyring),
        "verified keys": len(snapshot.keyring._callers),
        "unknown keys": len(snapshot.keyring._unknown),
        "limits": len(counter),
        "failures": len(failures._counter),
        "look-ups": len(failures._looked_up),
        "issuers": len(jwks.sources._sources),
        "rows to write": len(buffer._pending.rehashed) + len(buffer._pending.used),
    }


PEPPERS = {"newer": "n" * 32, **settings_of()["KEY_PEPPERS"]}


@pytest.mark.parametrize(
    ("text", "outcome", "look_up"),
    [
        pytest.param(lambda caller: caller.text, Outcome.ADMITTED, False, id="a good key"),
        pytest.param(
            lambda _: keys.generate("ag", "live").text, Outcome.KEY_UNKNOWN, True, id="unknown"
        ),
        pytest.param(lambda _: "ag_live_garbage", Outcome.KEY_MALFORMED, False, id="garbage"),
    ],
)
@pytest.mark.django_db
def test_peeking_changes_no_table_of_the_process(text, outcome, look_up):
    limits = tier("own", 5)
    caller = Caller(tier=limits[0])
    rows = [route(access="credentials"), *limits, *caller.rows]
    with guarded(*rows, look_up=look_up, KEY_PEPPERS=PEPPERS) as snapshot:
        before = tables(snapshot)
        sent = text(caller)
        assert {judged(with_key(sent), snapshot).outcome for _ in range(3)} == {outcome}
        assert tables(snapshot) == before
        # The same request leaves traces when it is performed, so the tables are the right ones.
        assert judged(with_key(sent), snapshot, perform).outcome is outcome
        assert tables(snapshot) != before


def test_sixty_peeks_at_a_bad_key_leave_the_next_live_one_a_401():
    caller = Caller()
    bad = with_key(keys.generate("ag", "live").text)
    with guarded(route(access="credentials"), *caller.rows) as snapshot:
        for _ in range(60):
            judged(bad, snapshot)
        assert bad.wsgi().status_code == 401


def test_a_peek_says_what_the_limit_would_say_and_uses_none_of_it():
    limits = tier("own", 1)
    caller = Caller(tier=limits[0])
    with guarded(route(access="credentials"), *limits, *caller.rows) as snapshot:
        call = with_key(caller.text)
        assert [judged(call, snapshot).outcome for _ in range(3)] == [Outcome.ADMITTED] * 3
        assert call.wsgi().status_code == 200
        assert judged(call, snapshot).outcome is Outcome.LIMIT_EXCEEDED
        assert call.wsgi().status_code == 429
