"""An error report holds no token, key or pepper, wherever on a request's way a defect is.

A defect is planted in one function after the other; what Django would mail to
its administrators, local variables of every frame included, is searched.
"""

from __future__ import annotations

import logging

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from apiguard.policy.compile import compile_rows
from apiguard.policy.rows import Rows
from tests.request.site import Call, Caller, guarded, issuer, route, token

PEPPER = "pepper-that-nobody-may-read"
SECRETS = {"demo": ["signing-secret-that-nobody-may-read", "the-older-one-that-nobody-may-read"]}

ON_THE_WAY_OF_A_TOKEN = [
    "apiguard.request.facts.Facts",
    "apiguard.rules.jwt_parse.read_object",
    "apiguard.rules.jwt_parse._decode_segment",
    "apiguard.rules.jwt.parse",
    "apiguard.rules.jwt.check_type",
    "apiguard.rules.jwt.verify_signature",
    "apiguard.rules.jwt_claims.claim_at",
    "apiguard.request.tokens.split_scope_claim",
]
ON_THE_WAY_OF_A_KEY = [
    "apiguard.request.facts.Facts",
    "apiguard.rules.keys._checksum",
    "apiguard.rules.keys.digest",
    "apiguard.rules.keys.matches",
    "apiguard.request.keys.judge_record",
    "apiguard.request.keys.is_held",
    "apiguard.policy.keyring.Keyring.get",
]


class Planted(Exception):
    """A defect."""


def defect(*_, **__):
    raise Planted


def report(call, caplog):
    """The report of the defect that this call met, as it is mailed with DEBUG off."""
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        answer = call()
    assert answer.status_code == 500
    (info,) = (record.exc_info for record in caplog.records if record.exc_info)
    assert info[0] is Planted
    reporter = ExceptionReporter(RequestFactory().get("/"), *info, is_email=True)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def plant(monkeypatch, target):
    monkeypatch.setattr(target, defect)


@pytest.mark.parametrize("way", ["wsgi", "asgi"])
@pytest.mark.parametrize("target", ON_THE_WAY_OF_A_TOKEN)
def test_no_report_holds_a_token_or_its_secret(target, way, caplog, monkeypatch):
    text = token(secret=SECRETS["demo"][0])
    call = Call(headers={"Authorization": f"Bearer {text}"})
    with guarded(route(access="credentials"), issuer(), JWT_SECRETS=SECRETS):
        assert getattr(call, way)().status_code == 200
        plant(monkeypatch, target)
        said = report(getattr(call, way), caplog)
    for hidden in (text, *text.split("."), *SECRETS["demo"]):
        assert hidden not in said


@pytest.mark.parametrize("scheme", ["X-API-Key", "Authorization"])
@pytest.mark.parametrize("target", ON_THE_WAY_OF_A_KEY)
def test_no_report_holds_a_key_or_a_pepper(target, scheme, caplog, monkeypatch):
    members = {"KEY_PEPPERS": {"new": PEPPER[::-1], "old": PEPPER}}
    with guarded(KEY_PEPPERS={"old": PEPPER}):
        caller = Caller()
    value = caller.text if scheme == "X-API-Key" else f"ApiKey {caller.text}"
    call = Call(headers={scheme: value})
    with guarded(route(access="credentials"), *caller.rows, **members):
        plant(monkeypatch, target)
        said = report(call.wsgi, caplog)
    secret = caller.text.split("_")[-1]
    for hidden in (caller.text, secret, secret[:-6], PEPPER, PEPPER[::-1]):
        assert hidden not in said


@pytest.mark.parametrize(
    "target", ["apiguard.rules.key_set.prepare_key", "apiguard.rules.key_set.VerifyingKey"]
)
def test_no_report_of_compiling_holds_a_secret(target, monkeypatch, settings):
    settings.APIGUARD = {**settings.APIGUARD, "JWT_SECRETS": SECRETS}
    plant(monkeypatch, target)
    with pytest.raises(Planted) as raised:
        compile_rows(Rows(issuers=(issuer(),)))
    reporter = ExceptionReporter(None, raised.type, raised.value, raised.tb)
    said = reporter.get_traceback_html() + reporter.get_traceback_text()
    for secret in SECRETS["demo"]:
        assert secret not in said
