"""``apiguard import-corsheaders`` as a script sees it."""

from __future__ import annotations

import pytest
from django.test import override_settings

from apiguard.models import AllowedOrigin, CorsPolicy, PolicyChange

GOOD = override_settings(CORS_ALLOWED_ORIGINS=["https://a.example"], CORS_URLS_REGEX=r"^/api/.*$")


@GOOD
def test_what_was_made_is_reported_and_what_is_there_is_not_made_again(run):
    first, second = run("import-corsheaders"), run("import-corsheaders")
    assert (first.status, second.status) == (0, 0)
    assert first.out.splitlines() == [
        "Made CORS policy 'corsheaders'.",
        "Made allowed origin 'https://a.example'.",
    ]
    assert "--prefix" in first.err
    assert second.out.strip() == "There is nothing to make."
    change = PolicyChange.objects.order_by("pk").first()
    assert "import-corsheaders" in str(vars(change))


@GOOD
def test_a_dry_run_says_what_it_would_make(run):
    said = run("import-corsheaders", "--dry-run", "--name", "browsers", "--prefix", "/api/")
    assert said.status == 0
    assert "Would make route '/api/'." in said.out.splitlines()
    assert not CorsPolicy.objects.exists()


@override_settings(
    CORS_ALLOWED_ORIGINS=["https://a.example", "null"],
    CORS_ALLOWED_ORIGIN_REGEXES=[r"^https://\w+\.example\.com$"],
)
def test_what_is_refused_ends_with_status_1_and_the_rest_is_made(run):
    said = run("import-corsheaders")
    assert said.status == 1
    assert "refused: CORS_ALLOWED_ORIGINS: 'null'" in said.out
    assert "notice: CORS_ALLOWED_ORIGIN_REGEXES" in said.out
    assert set(AllowedOrigin.objects.values_list("pattern", flat=True)) == {
        "https://a.example",
        "https://*.example.com",
    }


@override_settings(CORS_ALLOWED_ORIGINS=["HTTPS://A.example"], CORS_ALLOW_PRIVATE_NETWORK=True)
def test_json_holds_everything(run):
    said = run("import-corsheaders", "--json")
    assert said.status == 1
    assert said.json["origins"] == ["https://a.example"]
    assert said.json["prefixes"] == ["/"]
    assert said.json["dry_run"] is False
    assert len(said.json["created"]) == 2
    (notice,), (refused,) = said.json["notices"], said.json["refused"]
    assert (notice["field"], notice["suggestion"]) == ("CORS_ALLOWED_ORIGINS", "https://a.example")
    assert (refused["field"], refused["code"]) == ("CORS_ALLOW_PRIVATE_NETWORK", "private_network")


@pytest.mark.parametrize("prefix", ["api", "/a//b/", "/../"])
def test_a_prefix_that_no_request_has_is_used_wrongly(run, prefix):
    assert run("import-corsheaders", "--prefix", prefix).status == 2
    assert not CorsPolicy.objects.exists()
