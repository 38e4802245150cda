"""Amounts of units, as staff write them in one line."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from apiguard.models.fields import UnitsFormField

FIELD = UnitsFormField(required=False)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", {}),
        ("1000 tokens", {"tokens": 1000}),
        ("1,000 tokens, 5 content-bytes", {"tokens": 1000, "content-bytes": 5}),
        ("1 tokens,2 images\n3 pages", {"tokens": 1, "images": 2, "pages": 3}),
    ],
)
def test_amounts_are_read_and_written_alike(text, units):
    assert FIELD.clean(text) == units
    assert FIELD.clean(FIELD.prepare_value(units)) == units
    assert not FIELD.has_changed(units, text)


@pytest.mark.parametrize(
    "text", ["tokens", "1000", "1.5 tokens", "-1 tokens", "1 a, 2 a", "\u0661 a"]
)
def test_what_is_no_amount_of_a_unit_is_an_error_that_says_what_to_write(text):
    with pytest.raises(ValidationError, match="such as 1000 tokens"):
        FIELD.clean(text)
    assert FIELD.has_changed({}, text)


@given(st.text() | st.from_regex(r"([0-9,]{1,9} [a-z-]{1,9}[,\n ]{0,3}){0,3}", fullmatch=True))
def test_any_text_is_units_or_an_error(text):
    try:
        units = FIELD.clean(text)
    except ValidationError:
        return
    assert FIELD.clean(FIELD.prepare_value(units)) == units
