"""What is wrong with an origin is said alike wherever it is said."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apiguard import checks
from apiguard.admin.suggestions import SuggestionForm
from apiguard.models import AllowedOrigin, CorsPolicy
from apiguard.policy.holder import holder

pytestmark = pytest.mark.django_db


class OriginForm(SuggestionForm):
    class Meta:
        model = AllowedOrigin
        fields = ("policy", "pattern")


@pytest.fixture
def bad(request):
    """A policy with one origin that no form would have let in."""
    policy = CorsPolicy.objects.create(name="browsers")
    return AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=policy, pattern=request.param)])[
        0
    ]


@pytest.mark.parametrize(
    "bad",
    ["HTTPS://me@Shop.example.com:443/", "FTP://my_app.example:99999", "null", "*.example.com"],
    indirect=True,
)
def test_form_compile_check_and_system_check_agree(bad):
    said = [problem.as_dict() for problem in bad.problems()]
    assert said
    assert all(error["field"] == "pattern" and error["value"] == bad.pattern for error in said)

    compiled = holder.snapshot().problems
    assert [problem.error.as_dict() for problem in compiled] == said

    out = StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("apiguard", "check", "--json", stdout=out, stderr=StringIO())
    assert ended.value.returncode == 1
    printed = json.loads(out.getvalue())["problems"]
    assert [{name: problem[name] for name in said[0]} for problem in printed] == said

    told = checks.check_policy(databases=["default"])
    assert [message.hint for message in told] == [error["hint"] for error in said]
    assert all(error["reason"] in message.msg for error, message in zip(said, told, strict=True))

    form = OriginForm({"policy": bad.policy_id, "pattern": bad.pattern})
    shown = form.errors.as_data()["pattern"]
    codes = [error.code for error in shown if error.code != "did_you_mean"]
    assert codes == [error["code"] for error in said]
    offers = any(error.code == "did_you_mean" for error in shown)
    assert offers is (said[0]["suggestion"] is not None)
