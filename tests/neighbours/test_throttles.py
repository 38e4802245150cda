"""DRF's throttles and django-ratelimit count by ``user.pk``: each caller of ours has its own."""

from __future__ import annotations

import pytest
from django.test import override_settings

from tests.request.site import DOORS, Call, Caller, guarded, issuer, route, tier, token


def as_clients():
    both = tier()
    callers = [Caller(tier=both[0], client_fields={"slug": slug}) for slug in ("ann", "bob")]
    rows = [*both, *(row for caller in callers for row in caller.rows)]
    return rows, [{"X-API-Key": caller.text} for caller in callers]


def as_subjects():
    tokens = [token(sub=name) for name in ("alice", "bob")]
    return [issuer()], [{"Authorization": f"Bearer {text}"} for text in tokens]


@pytest.mark.parametrize("callers", [as_clients, as_subjects], ids=["clients", "token subjects"])
@pytest.mark.parametrize("path", ["/api/user", "/api/scope", "/api/ratelimit"])
@pytest.mark.parametrize("door", DOORS)
def test_two_callers_at_two_a_minute_are_counted_apart(callers, path, door):
    rows, senders = callers()
    with (
        guarded(route(access="credentials"), *rows),
        override_settings(ROOT_URLCONF="tests.neighbours.throttled"),
    ):
        for headers in senders:
            call = Call(path=path, headers=headers)
            statuses = [DOORS[door](call).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
