"""Pages that read what grows with every request end in time, whatever is searched."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from apiguard.admin.refusals.list import RefusalAdmin
from tests.scripted import said_by, settings_on

from .pages import url
from .slow_page import page_of

SAYS = "The database was given 1 second, and was not ready."


def test_a_query_that_takes_too_long_is_ended_and_the_page_says_how_to_ask_for_less(admin_client):
    status, text = page_of(admin_client, 300)
    assert (status, SAYS in text) == (503, True)
    assert 'href="/admin/apiguard/refusal/"' in text
    # The connection is as before.
    assert page_of(admin_client, 0)[0] == 200


@pytest.mark.parametrize("query", ["", "?q=abc", "?at__year=99999999"])
@pytest.mark.parametrize(
    "page", ["refusal_changelist", "refusal_grouped", "policychange_changelist", "usage", "find"]
)
def test_in_time_the_pages_are_as_ever(admin_client, page, query):
    assert admin_client.get(url(page) + query, follow=True).status_code == 200


def test_an_error_that_is_no_matter_of_time_is_an_error(admin_client, monkeypatch):
    def fail(self, request):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(RefusalAdmin, "get_queryset", fail)
    with pytest.raises(OperationalError):
        admin_client.get(url("refusal_changelist"))


@pytest.mark.slow
def test_postgresql_ends_the_statement_and_later_ones_have_their_own_time(migrated_postgres_url):
    said = said_by("tests.admin.slow_page", settings_on(migrated_postgres_url))
    assert (said["status"], SAYS in said["text"]) == (503, True)
