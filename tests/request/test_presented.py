"""Which credential is ours to judge: always a list, whatever was sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard import conf
from apiguard.request.facts import Facts
from apiguard.request.presented import PresentedCredential, extract
from tests.request.site import token

ISSUERS = {"https://issuer.example"}
TOKEN = token(secret="s" * 32)


def found(authorization=None, key=None, *, judge_all=True):
    facts = Facts("GET", authorization=authorization, api_key=key)
    return extract(facts, conf.current(), ISSUERS, judge_all=judge_all)


@pytest.mark.parametrize(
    ("authorization", "key", "expected"),
    [
        pytest.param(None, None, [], id="nothing"),
        pytest.param("", None, [], id="empty"),
        pytest.param("Basic x", None, [], id="foreign"),
        pytest.param("Bearerx", None, [], id="no scheme"),
        pytest.param(None, "k", [PresentedCredential("key", "ApiKey", "k")], id="header"),
        pytest.param(None, "", [PresentedCredential("key", "ApiKey", "")], id="empty header"),
        pytest.param("ApiKey k", None, [PresentedCredential("key", "ApiKey", "k")], id="ApiKey"),
        pytest.param("Api-Key k", None, [PresentedCredential("key", "ApiKey", "k")], id="Api-Key"),
        pytest.param(
            "bearer a.b.c", None, [PresentedCredential("token", "Bearer", "a.b.c")], id="token"
        ),
        pytest.param(
            "Bearer ag_x", None, [PresentedCredential("key", "Bearer", "ag_x")], id="key as Bearer"
        ),
        pytest.param(
            "Bearer agent", None, [PresentedCredential("token", "Bearer", "agent")], id="no key"
        ),
        pytest.param(
            "Bearer a",
            "k",
            [
                PresentedCredential("token", "Bearer", "a"),
                PresentedCredential("key", "ApiKey", "k"),
            ],
            id="both",
        ),
    ],
)
def test_every_credential_is_found_where_one_is_wanted(authorization, key, expected):
    assert found(authorization, key) == expected


@pytest.mark.parametrize(
    ("authorization", "key", "count"),
    [
        pytest.param("Bearer opaque", None, 0, id="opaque"),
        pytest.param("ApiKey theirs", None, 0, id="another shape"),
        pytest.param("ApiKey ag_x", None, 1, id="our shape"),
        pytest.param("Bearer ag_x", None, 1, id="our shape as Bearer"),
        pytest.param(f"Bearer {TOKEN}", None, 1, id="our issuer"),
        pytest.param(f"Bearer {token(iss='https://other.example')}", None, 0, id="their issuer"),
        pytest.param(None, "theirs", 0, id="another shape in the key header"),
        pytest.param(None, "", 0, id="an empty key header"),
        pytest.param(None, "ag_x", 1, id="our shape in the key header"),
        pytest.param("Bearer theirs", "ag_x", 1, id="ours beside theirs"),
    ],
)
def test_elsewhere_only_what_is_certainly_ours(authorization, key, count):
    assert len(found(authorization, key, judge_all=False)) == count


@given(st.none() | st.text(), st.none() | st.text(), st.booleans())
def test_no_text_raises(authorization, key, judge_all):
    offered = found(authorization, key, judge_all=judge_all)
    assert len(offered) <= 2
    assert all(isinstance(one.malformed, bool) for one in offered)


@given(st.text("Bearer ApiKey.,ag_\t", max_size=40))
def test_texts_that_nearly_are_credentials_do_not_raise(text):
    for judge_all in (True, False):
        assert all(one.scheme in ("Bearer", "ApiKey") for one in found(text, judge_all=judge_all))
