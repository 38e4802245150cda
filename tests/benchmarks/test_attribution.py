"""To which function the time in a profile is charged."""

from __future__ import annotations

import pytest

from benchmarks.attribution import lines, totals
from benchmarks.profile import tables

CALL = ("/site/apiguard/middleware.py", 1, "_call")
JUDGE = ("/site/apiguard/request/cors.py", 1, "judge")
DECIDE = ("/site/apiguard/counters/redis.py", 1, "decide")
HANDLER = ("/lib/django/core/handlers/base.py", 1, "inner")
HEADERS = ("/lib/django/http/response.py", 1, "__setitem__")
EVALSHA = ("/lib/redis/client.py", 1, "evalsha")
SEND = ("~", 0, "<method 'send' of 'generator' objects>")


def entry(own, cumulative, **callers):
    edges = {globals()[name]: (1, 1, own, cumulative) for name in callers if callers[name]}
    return (1, 1, own, cumulative, edges)


PROFILE = {
    HANDLER: entry(5e-6, 100e-6, CALL=True),
    CALL: entry(4e-6, 90e-6, HANDLER=True),
    HEADERS: entry(3e-6, 6e-6, CALL=True),
    JUDGE: entry(2e-6, 2e-6, SEND=True),
    SEND: entry(1e-6, 60e-6, CALL=True, EVALSHA=True),
    DECIDE: entry(7e-6, 50e-6, SEND=True),
    EVALSHA: entry(10e-6, 40e-6, DECIDE=True),
}


def line_of(name):
    return next(line for line in lines(PROFILE, 1) if line.function.endswith(name))


def test_a_function_is_charged_what_it_calls_outside_apiguard():
    assert line_of("decide").outside == pytest.approx(40.0)
    assert line_of("decide").charged == pytest.approx(47.0)


def test_a_call_that_leads_back_into_apiguard_is_charged_to_nobody():
    assert line_of("_call").outside == pytest.approx(6.0)


def test_functions_outside_have_no_line():
    assert {(line.file, line.function) for line in lines(PROFILE, 1)} == {
        ("middleware.py", "_call"),
        ("request/cors.py", "judge"),
        ("counters/redis.py", "decide"),
    }


def test_files_add_up_to_all_lines():
    found = lines(PROFILE, 1)
    summed = totals(found)
    assert list(summed) == ["counters/redis.py", "middleware.py", "request/cors.py"]
    assert sum(summed.values()) == pytest.approx(sum(line.charged for line in found))
    assert summed["counters/redis.py"] == pytest.approx(47.0)


def test_times_are_per_request_and_scaled_to_what_was_measured():
    files, functions = tables(lines(PROFILE, 1), added=118.0, least=0.0)
    assert files.rows[0] == ["counters/redis.py", "94.0"]
    assert files.rows[-1] == ["all of it", "118.0"]
    assert len(functions.rows) == 3
