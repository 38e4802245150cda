"""What hostile callers send: header values that parsers trip over, random ones, odd tokens.

Nothing here holds a line end, so that each value arrives as the one that was
meant. What is random comes from the ``random.Random`` that is given, so a
failure can be repeated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

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
    "Transfer-Encoding": ("POST", "/api/plain"),
    "traceparent": ("GET", "/health"),
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
    b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01",
    b"00-" + b"0" * 32 + b"-" + b"2" * 16 + b"-01-" + b"\xb2" * 300,
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


def signed(header: str, claims: str, secret: str) -> bytes:
    """A token with these members, signed as it should be."""
    segments = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret.encode(), b".".join(segments), hashlib.sha256)
    return b".".join([*segments, base64.urlsafe_b64encode(signature).rstrip(b"=")])


# Well-formed beginnings, so that what follows is looked at.
_BEGINNINGS = {
    "Authorization": [b"Bearer ", b"ApiKey ", b"bearer ag_live_", b"Basic ", b""],
    "X-API-Key": [b"ag_live_", b""],
    "Origin": [b"https://", b"https://app.example.com", b""],
    "traceparent": [b"00-", b"00-" + b"1" * 32 + b"-", b"cc-" + b"1" * 32 + b"-", b""],
    "Content-Type": [b"application/json;", b"multipart/form-data; boundary=", b""],
    "Accept": [b"application/json;q=", b"*/*,", b""],
    "X-Forwarded-For": [b"10.0.0.1, ", b"::ffff:", b""],
}

# What may be changed in one place and still be read for long.
PLAUSIBLE = {
    "Authorization": b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhcGlndWFyZC1kZW1vIn0.AAAA",
    "X-API-Key": b"ag_live_0123456789ab" + b"0123456789abcdef" * 2 + b"0AbCdE",
    "Origin": b"https://pr-1.preview.example.com",
    "Accept": b"application/json;q=0.9, text/*;q=0.1, */*;q=0",
    "Content-Type": b'application/json; charset="utf-8"',
    "Content-Length": b"15",
    "Transfer-Encoding": b"chunked",
    "X-Forwarded-For": b"192.0.2.1, [2001:db8::1]:443, 10.0.0.1",
    "X-Forwarded-Proto": b"http, https",
    "X-Request-ID": b"7f3c.A-b_9",
    "Access-Control-Request-Method": b"PATCH",
    "Access-Control-Request-Headers": b"authorization,content-type,x-api-key",
    "Sec-Fetch-Site": b"same-origin",
    "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Cookie": b"csrftoken=abc; sessionid=xyz",
    "Host": b"localhost:8000",
}


def hostile_value(header: str, source: random.Random) -> bytes:
    """A value for this header: random bytes, pieces of nasty ones, or a good one, mutated."""
    kind = source.random()
    if kind < 0.35:
        value = source.randbytes(source.choice((1, 2, 5, 20, 300)))
    elif kind < 0.6:
        value = b"".join(source.choices(NASTY[:-1], k=source.randrange(1, 4)))
    else:
        return _one_line(_mutated(PLAUSIBLE[header], source))
    return _one_line(source.choice(_BEGINNINGS.get(header, [b""])) + value)


def _mutated(value: bytes, source: random.Random) -> bytes:
    """Some bytes replaced, doubled, dropped or repeated."""
    changed = bytearray(value)
    for _ in range(source.choice((1, 1, 2, 5))):
        at = source.randrange(len(changed) + 1)
        piece = source.choice((b"", source.randbytes(1), changed[at : at + 4] * 2, b",", b'"'))
        changed[at : at + source.choice((0, 1, 3))] = piece
    return bytes(changed) * source.choice((1, 1, 1, 2, 40))


def _one_line(value: bytes) -> bytes:
    return value.replace(b"\r", b"").replace(b"\n", b"")[:7000]
