"""Who is signed in, whatever stands in ``request.user``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser, User

from apiguard.request.users import ClientUser, signed_in_user


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param(User(pk=5), 5, id="a user"),
        pytest.param(AnonymousUser(), None, id="nobody"),
        pytest.param(ClientUser("a"), None, id="no row"),
        pytest.param(None, None, id="None"),
        pytest.param("olga", None, id="something else"),
        pytest.param(SimpleNamespace(is_authenticated=True), None, id="no primary key"),
    ],
)
def test_who_is_signed_in(user, expected):
    assert signed_in_user(SimpleNamespace(user=user)) == expected


def test_without_authentication_nobody_is_signed_in():
    assert signed_in_user(SimpleNamespace()) is None
