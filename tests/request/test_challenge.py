from __future__ import annotations

import pytest

from apiguard.request.challenge import challenge, insufficient_scope


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("R",), 'Bearer realm="R", ApiKey realm="R"', id="none"),
        pytest.param(
            ("R", "Bearer", "invalid_request"),
            'Bearer realm="R", error="invalid_request", ApiKey realm="R"',
            id="malformed",
        ),
        pytest.param(
            ("R", "ApiKey", "invalid_token"),
            'ApiKey realm="R", error="invalid_token", Bearer realm="R"',
            id="bad key",
        ),
        pytest.param(
            ("R", "Bearer", "invalid_token", "It expired"),
            'Bearer realm="R", error="invalid_token", error_description="It expired", '
            'ApiKey realm="R"',
            id="bad token",
        ),
    ],
)
def test_a_challenge_names_the_scheme_that_was_used_first(arguments, expected):
    assert challenge(*arguments) == expected


def test_the_scopes_that_are_wanted_are_sorted():
    assert insufficient_scope("R", "ApiKey", ["b", "a:c", "a"]) == (
        'ApiKey realm="R", error="insufficient_scope", scope="a a:c b"'
    )
