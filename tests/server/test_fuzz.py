"""No header value whatever makes a 5xx, and none stops the server.

What the server in front refuses itself, or hangs up on, is its own affair. The
values are random from fixed seeds, so a failure can be repeated.
"""

from __future__ import annotations

import random
import re

import pytest

from tests.server.calls import new_address, request_head
from tests.server.hostile import HEADERS, NASTY, ODD_TOKENS, hostile_value, signed
from tests.servers import CHECKOUT

pytestmark = pytest.mark.slow

RANDOM_REQUESTS = 3000

UNKNOWN_CODING = 0

# Servers that believe what these say may wait for the rest of a body that does not come.
BODY_HEADERS = {"Content-Length", "Transfer-Encoding"}


def attempt(site, method, path, values):
    """Send one request with these header values; its status, or ``None`` without an answer."""
    body = b'{"item": "tea"}' if method == "POST" else b""
    headers = {
        "X-Forwarded-For": new_address(),
        "X-API-Key": site.demo.api_keys["acme"],
        **({"Content-Type": "application/json", "Content-Length": str(len(body))} if body else {}),
        **({"Origin": "https://app.example.com"} if method == "OPTIONS" else {}),
        **({"Access-Control-Request-Method": "GET"} if method == "OPTIONS" else {}),
    }
    if "Authorization" in values:
        del headers["X-API-Key"]
    sent = request_head(method, path, list({**headers, **values}.items()))
    answer = site.exchange(sent, body, patience=0.5 if BODY_HEADERS & set(values) else 20)
    if answer is None:
        return None
    # gunicorn's own answer to a transfer coding that it does not know (RFC 9112 section 6.1).
    unknown_coding = answer.status == 501 and "X-Request-ID" not in answer.headers
    return UNKNOWN_CODING if unknown_coding else answer.status


def still_serves(site):
    return all(site.get("/health").status == 200 for _ in range(10))


def bad_answers(site, attempts):
    """What went wrong: the attempts that ended in a 5xx."""
    answers = [(attempt(site, *one), one) for one in attempts]
    answered = [status for status, _ in answers if status is not None]
    # Else this would say nothing.
    assert len(answered) > len(answers) / 2
    return [(status, one) for status, one in answers if status is not None and status >= 500]


@pytest.mark.parametrize("header", HEADERS)
def test_no_nasty_value_makes_a_5xx(site, header):
    attempts = [(*HEADERS[header], {header: value}) for value in NASTY]
    assert bad_answers(site, attempts) == []
    assert still_serves(site)


def test_no_well_signed_nonsense_makes_a_5xx(site):
    secret = site.demo.env["JWT_SECRET"]
    tokens = [signed(header, claims, secret) for header, claims in ODD_TOKENS]
    attempts = [
        ("GET", path, {"Authorization": b"Bearer " + token})
        for path in ("/api/users/me", "/health")
        for token in tokens
    ]
    assert bad_answers(site, attempts) == []
    assert still_serves(site)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_random_values_make_a_5xx(site, seed):
    source = random.Random(seed)
    attempts = []
    for _ in range(RANDOM_REQUESTS // 3):
        names = source.sample(sorted(HEADERS), k=source.choice((1, 1, 2, 3)))
        values = {name: hostile_value(name, source) for name in names}
        attempts.append((*HEADERS[names[0]], values))
    assert bad_answers(site, attempts) == []
    assert still_serves(site)


def test_every_header_that_is_read_is_tried():
    sources = [path.read_text() for path in (CHECKOUT / "apiguard" / "request").glob("*.py")]
    named = set(re.findall(r'"HTTP_([A-Z_]+)"|"(CONTENT_[A-Z]+)"', "".join(sources)))
    tried = {name.upper().replace("-", "_") for name in HEADERS}
    assert {one or other for one, other in named} - tried == set()
    assert len(named) > 8
