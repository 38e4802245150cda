"""Stored text of a request holds no secret, no query and no line break."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.rules.keys import generate
from apiguard.rules.redaction import redact, redact_url
from tests.request.site import token

KEY = generate("ag", "live").text
TOKEN = token()
# What djangorestframework-api-key made, which apiguard goes on accepting after the import.
IMPORTED = "abcdEFGH." + "aB3d" * 8
# The header and the claims begin with '{ "' and with '{\n "'.
SPACED = "eyAiYWxnIjogIkhTMjU2In0.ewogInN1YiI6ICJhIn0.c2lnbmF0dXJlc2ln"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("/orders/7", "/orders/7"),
        ("/orders/ä", "/orders/ä"),
        ("/orders?secret=1", "/orders?…"),
        ("a\nb\x00c\ud800", "a\\nb\\x00c\\ud800"),
        (f"/reset/{TOKEN}/done", "/reset/eyJ…/done"),
        (TOKEN[: len(TOKEN) // 2], "eyJ…"),
        (f"Accept is 'x/{KEY}'", f"Accept is 'x/{KEY[:20]}_…'"),
        (f"/x/{IMPORTED}/y", "/x/abcdEFGH._…/y"),
        (f"/t/{SPACED}/done", "/t/eyJ…/done"),
        ("/a?x=1;token=s3cret", "/a?…"),
        ("/a?tags=a,b&password=s3cret", "/a?…"),
        ("x" * 99, "x" * 49 + "…"),
    ],
    # The key is another one in every process, and xdist compares the names of tests.
    ids=range(12),
)
def test_a_text_is_stored_without(text, stored):
    assert redact(text, "ag", 50) == stored


@pytest.mark.parametrize("mark", ["'", '"', " ", ";", ",", "\n", "?"])
def test_of_a_path_nothing_is_stored_after_the_question_mark(mark):
    # Servers decode "%3F" and "%27", so a query with any character may stand in a path.
    assert redact_url(f"/a?q={mark}x{mark}&password=s3cret", "ag", 50) == "/a?…"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from([KEY, TOKEN, f"?a={KEY}"]))
def test_nothing_of_a_secret_is_left_wherever_it_stands(before, after, secret):
    stored = redact(f"{before}{secret}{after}", "ag", 500)
    assert KEY[-30:] not in stored
    assert TOKEN.rsplit(".", 1)[1] not in stored
    assert stored.isprintable()
    assert stored.encode()
