"""The cheap rules of a route, one by one; an empty rule is not checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard import conf
from apiguard.request import content
from apiguard.request.context import GuardContext
from apiguard.request.facts import Facts
from apiguard.request.verdict import Outcome
from apiguard.testing import snapshot_of
from tests.request.site import guarded, route

JSON = {"accepts": ["application/json"]}
SNAPSHOT = snapshot_of(route(accepts=["*/*"]))


def judged(fields: dict[str, Any], **said: Any) -> Outcome | None:
    facts = Facts(**{"method": "GET", **said})
    with guarded(route(**fields)) as snapshot:
        verdict = content.check_content(
            GuardContext(facts, conf.current(), snapshot, snapshot.routes.find("/api/x"))
        )
    return None if verdict is None else verdict.outcome


@pytest.mark.parametrize(
    ("fields", "said", "outcome"),
    [
        pytest.param({}, {}, None, id="nothing asked"),
        pytest.param({"methods": ["GET"]}, {"method": "HEAD"}, None, id="HEAD with GET"),
        pytest.param(
            {"methods": ["POST"]}, {"method": "HEAD"}, Outcome.METHOD_NOT_LISTED, id="HEAD"
        ),
        pytest.param(
            {"methods": ["GET"]}, {"method": "OPTIONS"}, Outcome.METHOD_NOT_LISTED, id="OPTIONS"
        ),
        pytest.param({}, {"method": "BREW"}, None, id="any method"),
        pytest.param({}, {"content_length": "0"}, None, id="no body"),
        pytest.param(JSON, {"method": "POST", "content_length": "0"}, None, id="an empty body"),
        pytest.param(JSON, {"method": "POST", "content_length": "000"}, None, id="zeros"),
        *(
            pytest.param({}, {"content_length": text}, Outcome.BAD_CONTENT_LENGTH, id=repr(text))
            for text in ("-1", "+1", "1_0", "1 ", "1,1", "0x1", "1.0", "\u0661", "\xb2", "9" * 20)
        ),
        pytest.param(
            JSON,
            {"content_length": "1", "content_type": "Application/JSON; charset=utf-8"},
            None,
            id="parameters and case do not matter",
        ),
        pytest.param(
            JSON,
            {"content_length": "1", "content_type": "application/json5"},
            Outcome.MEDIA_TYPE_NOT_ACCEPTED,
            id="a longer name",
        ),
        pytest.param(
            {"accepts": ["*/*"]},
            {"content_length": "1"},
            Outcome.MEDIA_TYPE_NOT_ACCEPTED,
            id="anything, but something",
        ),
        pytest.param({}, {"content_length": "1"}, None, id="no type, not asked"),
        pytest.param(
            JSON,
            {"content_length": "1", "content_type": "text/plain"},
            Outcome.MEDIA_TYPE_NOT_ACCEPTED,
            id="a body on GET, of another type",
        ),
        pytest.param(
            JSON,
            {"content_length": "1", "content_type": "application/json"},
            None,
            id="a body on GET, of the type",
        ),
        pytest.param({"max_body_bytes": 0}, {}, None, id="GET without a body"),
        pytest.param(
            {"accepts": ["application/*+json"]},
            {"content_length": "1", "content_type": "application/vnd.api+json"},
            None,
            id="a suffix",
        ),
        *(
            pytest.param(
                {},
                {"content_type": f"text/plain; charset={charset}"},
                Outcome.MEDIA_TYPE_NOT_ACCEPTED,
                id=f"charset {charset}",
            )
            for charset in ("hex", '"ROT13"', "zlib", "idna", "undefined", "base64")
        ),
        pytest.param(
            {},
            {"content_type": "a/b; CHARSET*=utf-8''hex"},
            Outcome.MEDIA_TYPE_NOT_ACCEPTED,
            id="a charset in RFC 8187",
        ),
        pytest.param(
            {},
            {"content_type": f"a/b; c={'d' * 600}; charset=hex"},
            Outcome.MEDIA_TYPE_NOT_ACCEPTED,
            id="a charset far behind",
        ),
        *(
            pytest.param({}, {"content_type": f"text/plain; {said}"}, None, id=said)
            for said in (
                "charset=utf-8",
                "charset=UTF-16",
                "charset=latin-1",
                "charset=utf-7",
                "charset=nobody-knows-it",
                "charset=",
                "charset",
                "charset=a\x00",
                "a=hex",
                "charset*=nope''x",
            )
        ),
        pytest.param(
            JSON, {"unknown_length": "delimited"}, Outcome.MEDIA_TYPE_NOT_ACCEPTED, id="chunked"
        ),
        pytest.param({}, {"unknown_length": "endless"}, Outcome.LENGTH_REQUIRED, id="endless"),
        pytest.param({"max_body_bytes": 5}, {"content_length": "5"}, None, id="exactly"),
        pytest.param(
            {"max_body_bytes": 5}, {"content_length": "6"}, Outcome.BODY_TOO_LARGE, id="more"
        ),
        pytest.param(
            {"max_body_bytes": 0}, {"content_length": "1"}, Outcome.BODY_TOO_LARGE, id="no body"
        ),
        pytest.param({}, {"content_length": "9" * 19}, None, id="not asked"),
        pytest.param({"produces": ["application/json"]}, {}, None, id="no Accept"),
        *(
            pytest.param({"produces": ["application/json"]}, {"accept": accept}, None, id=accept)
            for accept in ("*/*", "application/*", "application/json;q=0.1", "text/html, */*;q=0.1")
        ),
        *(
            pytest.param(
                {"produces": ["application/json"]},
                {"accept": accept},
                Outcome.NOT_ACCEPTABLE,
                id=accept,
            )
            for accept in ("text/html", "text/*", "application/json;q=0", "*/*;q=0")
        ),
        pytest.param({}, {"accept": "text/html"}, None, id="Accept, not asked"),
        pytest.param({}, {"host": None}, Outcome.HOST_NOT_ALLOWED, id="host"),
    ],
)
def test_a_rule_of_the_route(fields, said, outcome):
    assert judged(fields, **said) is outcome


@given(st.text(max_size=60) | st.text(alphabet="chars et=;*'\"/hexzlib-8%", max_size=60))
def test_no_content_type_is_too_strange_to_judge(content_type):
    facts = Facts(method="POST", content_length="1", content_type=content_type)
    context = GuardContext(facts, conf.current(), SNAPSHOT, SNAPSHOT.routes.find("/api/x"))
    assert content.check_content(context) is None or content.check_content(context).refused


def test_who_names_a_charset_of_no_text_learns_what_is_accepted_if_anything_is():
    facts = Facts(method="PATCH", content_type="text/plain; charset=hex")
    with guarded(route(**JSON)) as snapshot:
        listed = content.check_content(
            GuardContext(facts, conf.current(), snapshot, snapshot.routes.find("/api/x"))
        )
    with guarded(route()) as snapshot:
        unlisted = content.check_content(
            GuardContext(facts, conf.current(), snapshot, snapshot.routes.find("/api/x"))
        )
    json = "application/json"
    assert dict(listed.headers) == {"Accept": json, "Accept-Patch": json}
    assert unlisted.headers == ()


def test_where_no_route_is_nothing_is_judged():
    assert judged({"path_prefix": "/other/", "methods": ["PUT"]}) is None
