"""No header value whatever makes a 5xx, and none stops the server.

What the server in front refuses itself, or hangs up on, is its own affair. The
values are random from fixed seeds, so a failure can be repeated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

import pytest

from tests.server.calls import new_address, request_head

pytestmark = pytest.mark.slow

RANDOM_REQUESTS = 300

# Header -> where it is looked at most closely.
HEADERS = {
    "Authorization": ("GET", "/api/users/me"),
    "X-API-Key": ("GET", "/api/users/me"),
    "Origin": ("GET", "/health"),
    "Accept": ("GET", "/api/orders"),
    "Content-Type": ("POST", "/api/orders"),
    "Content-Length": ("POST", "/api/plain"),
    "X-Forwarded-For": ("GET", "/health"),
    "X-Forwarded-Proto": ("GET", "/health"),
    "X-Request-ID": ("GET", "/health"),
    "Access-Control-Request-Method": ("OPTIONS", "/health"),
    "Access-Control-Request-Headers": ("OPTIONS", "/health"),
    "Sec-Fetch-Site": ("GET", "/health"),
    "Cookie": ("GET", "/api/users/me"),
    "Host": ("GET", "/api/users/me"),
}

NASTY = [
    b"",
    b"\t",
    b"\xff\xfe",
    b"\x85\xa0",
    b"\xb2",  # A digit to str.isdigit(), and no number to int().
    "\u0663".encode(),
    "caf\u00e9 \U0001f375".encode(),
    b"\x00",
    b"\x7f\x1b[31m",
    b"null",
    b"-1",
    b"1e400",
    b"NaN",
    b"9" * 400,
    b",",
    b"," * 2000,
    b";=;=;=",
    b'"',
    b'"\\',
    b"*/*;q=\xb2, a/b;q=nan, */*;q=1e999;",
    b"application/json; charset=zlib",
    b"application/json; charset=undefined",
    b"application/json; charset=hex",
    b"application/json; charset=idna",
    b"application/json; charset=\xff; boundary=" + b"x" * 300,
    b"application/json; indent=\xb2",
    b"application/json; charset*=utf-8''%ff",
    b"multipart/form-data",
    b"https://[::1",
    b"https://\xe4.example.com:99999",
    b"https://app.example.com:\xb2",
    b"[::1]:80, fe80::1%eth0, ::ffff:1.2.3.4, 1.2.3.4:x, 999.9.9.9",
    b'for="[::1";proto=https',
    b"Bearer \xa0",
    b"Bearer \xff.\xff.\xff",
    b"Bearer ag_\xff",
    b"ApiKey \x00",
    b"ag_live_\xff\xff\xff",
    b"x" * 7000,
]

# Header and claims of tokens that are signed as they should be.
GOOD_HEADER, GOOD_CLAIMS = (
    '{"alg":"HS256"}',
    '{"iss":"apiguard-demo","aud":"apiguard-demo-clients","sub":"a","exp":4000000000}',
)
ODD_TOKENS = [
    *(
        (header, GOOD_CLAIMS)
        for header in (
            "[]",
            "null",
            "{}",
            '{"alg":["HS256"]}',
            '{"alg":{"HS256":1}}',
            '{"alg":"HS256","kid":[]}',
            '{"alg":"HS256","kid":{"a":1}}',
            '{"alg":"HS256","kid":"\\ud800"}',
            '{"alg":"HS256","typ":1}',
            '{"alg":"HS256","crit":["exp"]}',
            '{"alg":"HS256","alg":"none"}',
            "[" * 2000,
        )
    ),
    *(
        (GOOD_HEADER, claims)
        for claims in (
            "[]",
            '"a"',
            "{",
            "[" * 5000,
            '{"iss":' + "[" * 500 + "]" * 500 + "}",
            '{"iss":["apiguard-demo"]}',
            '{"iss":{"a":1}}',
            GOOD_CLAIMS.replace('"a",', '"\\ud800",'),
            GOOD_CLAIMS.replace('"a",', '"\\u0000",'),
            GOOD_CLAIMS.replace('"a",', "17,"),
            GOOD_CLAIMS.replace('"a",', '"' + "a" * 300 + '",'),
            GOOD_CLAIMS.replace("4000000000", "1e400"),
            GOOD_CLAIMS.replace("4000000000", "NaN"),
            GOOD_CLAIMS.replace("4000000000", "-Infinity"),
            GOOD_CLAIMS.replace("4000000000", "9" * 5000),
            GOOD_CLAIMS.replace("4000000000", "true"),
            GOOD_CLAIMS.replace("4000000000", "[]"),
            GOOD_CLAIMS.replace('"exp"', '"iat":1e308,"nbf":{},"exp"'),
            GOOD_CLAIMS.replace('"exp"', '"scope":{"a":[1]},"exp"'),
            GOOD_CLAIMS.replace('"exp"', '"scope":"\\ud800 \\u2028","exp"'),
            GOOD_CLAIMS.replace('"apiguard-demo-clients"', '{"a":1}'),
            GOOD_CLAIMS.replace('"apiguard-demo-clients"', "[[]]"),
        )
    ),
]


def signed(header, claims, secret):
    segments = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret.encode(), b".".join(segments), hashlib.sha256)
    return b".".join([*segments, base64.urlsafe_b64encode(signature).rstrip(b"=")])


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
    # A server that believes an absurd length waits for the rest of the body.
    answer = site.exchange(sent, body, patience=0.5 if "Content-Length" in values else 20)
    return None if answer is None else answer.status


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


def random_value(source):
    """Anything but a line end: random bytes, or pieces of what headers look like."""
    if source.random() < 0.5:
        length = source.choice((1, 2, 5, 20, 300))
        value = bytes(source.randrange(256) for _ in range(length))
    else:
        value = b"".join(source.choices(NASTY[:-1], k=source.randrange(1, 4)))
    return value.replace(b"\r", b"").replace(b"\n", b"")[:7000]


def prefixed(header, value, source):
    if header == "Authorization":
        return source.choice([b"Bearer ", b"ApiKey ", b"bearer ag_live_", b"Basic ", b""]) + value
    return source.choice([b"ag_live_", b""]) + value if header == "X-API-Key" else value


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_random_values_make_a_5xx(site, seed):
    source = random.Random(seed)
    attempts = []
    for _ in range(RANDOM_REQUESTS // 3):
        names = source.sample(sorted(HEADERS), k=source.choice((1, 1, 2, 3)))
        values = {name: prefixed(name, random_value(source), source) for name in names}
        attempts.append((*HEADERS[names[0]], values))
    assert bad_answers(site, attempts) == []
    assert still_serves(site)
