from __future__ import annotations

import pytest

from apiguard.request.verdict import ADMITTED, REFUSALS, Outcome, Verdict

KEYS = [outcome for outcome in Outcome if outcome.startswith(("key_", "client_", "owner_"))]
LETS_PASS = {Outcome.ADMITTED, Outcome.PREFLIGHT_ANSWERED, Outcome.VIEW_ANSWERED}


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_refuses_or_lets_pass(outcome):
    assert (outcome in REFUSALS) != (outcome in LETS_PASS)
    assert Verdict(outcome).refused == (outcome in REFUSALS)


def test_every_bad_key_reads_the_same():
    assert len(KEYS) >= 10
    assert {REFUSALS[outcome] for outcome in KEYS} == {
        (401, "invalid_api_key", "The API key is invalid")
    }


def test_a_detail_replaces_the_refusal_s_own_text():
    refusal = Verdict(Outcome.BODY_TOO_LARGE, detail="more than 5").refusal
    assert (refusal.status, refusal.detail) == (413, "more than 5")


def test_an_admitted_request_has_no_refusal():
    assert ADMITTED.refusal is None
    assert ADMITTED.enforced


def test_retry_after_is_one_of_the_headers():
    verdict = Verdict(Outcome.LIMIT_EXCEEDED, headers=(("A", "b"),), retry_after=5)
    assert verdict.all_headers == (("A", "b"), ("Retry-After", "5"))
    assert ADMITTED.all_headers == ()
