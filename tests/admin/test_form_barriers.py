"""Which response headers stop people from working in the admin."""

from __future__ import annotations

import pytest

from apiguard.admin.form_barriers import find_barriers

PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Refresh": "0; url=https://attacker.example/"}, "Refresh"),
        ({"Location": "https://attacker.example/"}, "Location"),
        ({"Clear-Site-Data": '"cookies"'}, "Clear-Site-Data"),
        ({"Content-Security-Policy": "form-action 'none'"}, "form-action"),
    ],
)
def test_a_header_that_leads_away_or_shuts_a_form_is_found(headers, words):
    (barrier,) = find_barriers({**PAGE, **headers}, True, "api.example.com")
    assert words in barrier


def test_a_plain_page_has_none():
    assert list(find_barriers(PAGE, True, "api.example.com")) == []
