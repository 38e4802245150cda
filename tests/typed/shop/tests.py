"""Tests of the project, with the test kit."""

from django.test import Client as HttpClient

from apiguard.models import Client, JwtIssuer, Route
from apiguard.testing import (
    assert_admitted,
    assert_refused,
    explain,
    fast_forward,
    make_key,
    make_tier,
    make_token,
    override_policy,
    reset_counters,
    snapshot_of,
)


def test_a_key_is_limited(issuer: JwtIssuer) -> None:
    tier, *limits = make_tier("tiny", 1)
    key, text = make_key(Client(slug="acme", name="Acme", tier=tier), scopes=("orders:read",))
    token: str = make_token(issuer, "alice", "orders:read")
    route = Route(name="api", path_prefix="/api/")
    assert snapshot_of(route).routes
    with override_policy(route, *limits, key):
        assert_admitted(HttpClient().get("/api/orders", headers={"X-API-Key": text}))
        answer = HttpClient().get("/api/orders", headers={"Authorization": f"Bearer {token}"})
        assert_refused(answer, "invalid_credential", by="route api")
        assert explain("GET", "/api/orders").steps
        fast_forward(60)
        reset_counters()
