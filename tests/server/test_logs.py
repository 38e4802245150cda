"""What servers write down: request ids, refusals and their reasons; never a secret."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(site):
    """Requests that carry secrets on every way through, each with an id of its own."""
    key, token = site.demo.api_keys["acme"], site.demo.jwt
    bad_key = key[:-1] + ("a" if key[-1] != "a" else "b")
    bad_token, expired = token[:-4] + "AAAA", site.token(exp=1_700_000_100)
    carriers = [
        ("/api/users/me", {"X-API-Key": key}, 200),
        ("/api/users/me", {"Authorization": f"ApiKey {key}"}, 200),
        ("/api/users/me", {"Authorization": f"Bearer {token}"}, 200),
        ("/api/users/me", {"X-API-Key": key, "Authorization": f"Bearer {token}"}, 400),
        ("/api/users/me", {"Authorization": f"Bearer {key} {token}"}, 400),
        ("/api/users/me", {"X-API-Key": bad_key}, 401),
        ("/api/users/me", {"X-API-Key": token}, 401),
        ("/api/users/me", {"Authorization": f"ApiKey {bad_token}"}, 401),
        ("/api/users/me", {"Authorization": f"Bearer {bad_token}"}, 401),
        ("/api/users/me", {"Authorization": f"Bearer {expired}"}, 401),
        ("/api/users/me", {"X-API-Key": key, "Accept": "text/html"}, 406),
        ("/api/orders?scope=none", {"X-API-Key": key, "Origin": "https://evil.example"}, 403),
        ("/api/boom", {"X-API-Key": key}, 500),
        ("/api/boom", {"Authorization": f"Bearer {token}"}, 500),
        ("/api/no-such", {"Authorization": f"Bearer {token}"}, 404),
    ]
    ids = [f"log-{site.kind}-{number}" for number in range(len(carriers))]
    for this_id, (path, headers, status) in zip(ids, carriers, strict=True):
        assert site.get(path, {**headers, "X-Request-ID": this_id}).status == status
    refused = [
        this_id for this_id, (_, _, status) in zip(ids, carriers, strict=True) if status > 400
    ]
    return refused, [key, bad_key, token, bad_token, expired]


def test_every_refusal_is_written_down_and_no_secret_is(site, asked):
    refused, carried = asked
    log = site.server.log()
    assert [this_id for this_id in refused if f"[{this_id}]" not in log] == []
    secrets = [
        *carried,
        *(key.rsplit("_", 1)[1][:32] for key in site.demo.api_keys.values()),
        *(token.rsplit(".", 1)[1] for token in carried if "." in token),
        site.demo.env["JWT_SECRET"],
        site.demo.env["SECRET_KEY"],
        site.demo.password,
    ]
    assert [secret for secret in secrets if secret in log] == []
