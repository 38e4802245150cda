"""Which receivers of events the settings may name."""

from __future__ import annotations

import base64

import pytest

from apiguard.errors import SettingError
from apiguard.rules.webhooks import parse_webhooks

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
URL = "https://hooks.example.com/apiguard?team=1"


def test_receivers_are_read_by_name():
    found = parse_webhooks({"ops": {"url": URL, "secret": SECRET}})
    assert (found["ops"].url, found["ops"].secret, found["ops"].host) == (
        URL,
        SECRET,
        "hooks.example.com",
    )


@pytest.mark.parametrize(
    ("url", "is_protected"),
    [
        ("https://example.com", True),
        ("HTTPS://example.com", True),
        ("http://127.0.0.1:8000/", True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
        ("http://hooks.localhost/", True),
        ("http://example.com/", False),
        ("http://192.168.0.1/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://notlocalhost/", False),
    ],
)
def test_without_tls_only_this_machine_is_protected(url, is_protected):
    assert parse_webhooks({"a": {"url": url, "secret": SECRET}})["a"].is_protected is is_protected


def named(url=URL, secret=SECRET, name="ops", **more):
    return {name: {"url": url, "secret": secret, **more}}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([], id="a list"),
        pytest.param({f"n{number}": {} for number in range(21)}, id="too many"),
        pytest.param({"ops": URL}, id="only a URL"),
        pytest.param({"ops": {"url": URL}}, id="no secret"),
        pytest.param(named(events=["x"]), id="another member"),
        pytest.param(named(name="two words"), id="a name with a space"),
        pytest.param(named(name=7), id="a name that is no text"),
        pytest.param(named(url="ftp://example.com/"), id="ftp"),
        pytest.param(named(url="file:///etc/passwd"), id="a file"),
        pytest.param(named(url="https://"), id="no host"),
        pytest.param(named(url="https://user:pass@example.com/"), id="a user"),
        pytest.param(named(url="https://example.com/#x"), id="a fragment"),
        pytest.param(named(url="https://example.com:99999/"), id="no port"),
        pytest.param(named(url="https://[::1/"), id="half a bracket"),
        pytest.param(named(url="https://example.com/a\r\nX: y"), id="a line break"),
        pytest.param(named(url="https://exämple.com/"), id="not ASCII"),
        pytest.param(named(url=None), id="no URL"),
        pytest.param(named(secret=base64.b64encode(b"s" * 24).decode()), id="without the prefix"),
        pytest.param(named(secret="whsec_"), id="an empty secret"),
        pytest.param(named(secret="whsec_" + "A" * 28), id="a short secret"),
        pytest.param(named(secret="whsec_" + "A" * 100), id="a long secret"),
        pytest.param(named(secret="whsec_" + "!" * 40), id="a secret that is not base64"),
        pytest.param(named(secret="x" + SECRET), id="something before the prefix"),
        pytest.param(named(secret=b"bytes"), id="a secret that is no text"),
    ],
)
def test_anything_else_is_refused_and_no_secret_is_repeated(value):
    with pytest.raises(SettingError) as error:
        parse_webhooks(value)
    text = repr((error.value.value, error.value.reason, error.value.hint))
    assert SECRET[6:] not in text
    assert "pass@" not in text


def test_neither_url_nor_secret_stands_in_a_repr():
    text = repr(parse_webhooks(named()))
    assert URL not in text
    assert SECRET not in text
