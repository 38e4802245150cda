"""Tokens that a stream settles, and reports in flight, on the reference site."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.slow


def complete(site, **order):
    headers = {**site.acme, "Content-Type": "application/json"}
    return site.call("POST", "/api/complete", headers, body=json.dumps(order).encode())


def tokens_left(answer):
    return int(re.search(r'"tokens-per-minute";r=(\d+)', answer.headers["RateLimit"])[1])


def test_words_are_streamed_and_settled(site):
    answer = complete(site, words=2000, stop_after=30)
    assert (answer.status, len(answer.data.split())) == (200, 30)
    assert '"tokens-per-minute";q=10000;w=60' in answer.headers["RateLimit-Policy"]
    assert tokens_left(answer) == 9_000
    # The last part reaches the client a little before the response is closed.
    time.sleep(0.2)
    again = complete(site, words=1500)
    assert len(again.data.split()) == 1500
    assert tokens_left(again) == 10_000 - 30 - 1_000
    time.sleep(0.2)
    assert tokens_left(complete(site, words=0)) == 10_000 - 30 - 1_500 - 1_000


@pytest.mark.parametrize(
    "order", [{}, {"words": 2001}, {"words": -1}, {"words": "3"}, {"words": 3, "stop_after": 0.5}]
)
def test_an_order_of_words_that_makes_no_sense_is_refused(site, order):
    answer = complete(site, **order)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_two_reports_are_made_at_once_and_a_third_is_refused(shared_site):
    # The shared gunicorn has two workers, which do no third request at once.
    site = shared_site("uvicorn")

    def report(seconds):
        answer = site.get(f"/api/report?seconds={seconds}", site.acme)
        return answer.status, answer.headers.get("Retry-After")

    with ThreadPoolExecutor(3) as threads:
        answers = sorted(threads.map(report, [0.7] * 3), key=str)
    assert answers == [(200, None), (200, None), (429, "1")]
    assert report(0) == (200, None)
    assert [report(each)[0] for each in ("3", "x", "nan")] == [400, 400, 400]
