"""An edit that another one overtook: tried again, or told; never a server error."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError

from apiguard.admin import conflict_retry
from apiguard.admin.conflict_retry import is_retryable
from apiguard.admin.tiers import TierAdmin
from apiguard.models import Tier
from tests.admin.editors_at_once import EDITS, PEOPLE
from tests.scripted import said_by, settings_on


def refused(state="40001"):
    error = OperationalError("could not serialize access")
    error.__cause__ = DriverError(state)
    return error


class DriverError(Exception):
    def __init__(self, state):
        self.sqlstate = state


@pytest.mark.parametrize(
    ("error", "overtaken"),
    [
        pytest.param(refused("40001"), True, id="serialization"),
        pytest.param(refused("40P01"), True, id="deadlock"),
        pytest.param(refused("57P01"), False, id="shut down"),
        pytest.param(OperationalError(1213, "Deadlock found"), True, id="MySQL"),
        pytest.param(OperationalError("database is locked"), True, id="SQLite"),
        pytest.param(OperationalError("no such table"), False, id="no table"),
        pytest.param(OperationalError(), False, id="nothing said"),
    ],
)
def test_only_what_may_succeed_is_tried_again(error, overtaken):
    assert is_retryable(error) is overtaken


@pytest.fixture
def failing(monkeypatch):
    """Saving a tier fails as often as told."""
    left, save = SimpleNamespace(times=0, error=None), Tier.save

    def overtaken(self, *args, **kwargs):
        save(self, *args, **kwargs)
        if left.times:
            left.times -= 1
            raise left.error

    monkeypatch.setattr(Tier, "save", overtaken)
    left.error = refused()
    return left


def send(browser, name):
    sent = {"slug": "gold", "name": name}
    for prefix in ("limits",):
        sent |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    return browser.post("/admin/apiguard/tier/add/", sent)


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_conflicted_is_made_again_and_reported_once(admin_client, failing):
    failing.times = 2
    answer = send(admin_client, "Gold")
    assert answer.status_code == 302
    assert Tier.objects.get().name == "Gold"
    saved = [one for one in get_messages(answer.wsgi_request) if one.level_tag == "success"]
    assert len(saved) == 1


@pytest.mark.django_db(transaction=True)
def test_messages_of_an_attempt_that_was_rolled_back_are_not_shown(admin_client, monkeypatch):
    answer_of, errors = TierAdmin.response_add, [refused(), refused()]

    def conflict(self, *args, **kwargs):
        answer = answer_of(self, *args, **kwargs)
        if errors:
            raise errors.pop()
        return answer

    monkeypatch.setattr(TierAdmin, "response_add", conflict)
    answer = send(admin_client, "Gold")
    saved = [one for one in get_messages(answer.wsgi_request) if one.level_tag == "success"]
    assert (len(saved), Tier.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_always_conflicts_is_reported(admin_client, failing):
    failing.times = conflict_retry.TRIES
    answer = send(admin_client, "Gold")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/apiguard/tier/add/")
    assert "Nothing was saved" in str(next(iter(get_messages(answer.wsgi_request))))
    assert not Tier.objects.exists()


@pytest.mark.django_db
def test_what_is_part_of_a_larger_transaction_is_reported_at_once(admin_client, failing):
    failing.times = 1
    answer = send(admin_client, "Gold")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/apiguard/tier/add/")


@pytest.mark.django_db(transaction=True)
def test_other_errors_are_errors(admin_client, failing):
    failing.times, failing.error = 1, refused("57P01")
    with pytest.raises(OperationalError):
        send(admin_client, "Gold")


@pytest.mark.slow
@pytest.mark.parametrize(
    "level",
    [
        pytest.param("", id="read committed"),
        pytest.param("?isolation_level=3", id="repeatable read"),
        pytest.param("?isolation_level=4", id="serializable"),
    ],
)
def test_who_edits_and_who_applies_a_file_at_once_lose_nothing(migrated_postgres_url, level):
    answer = said_by("tests.admin.editors_at_once", settings_on(migrated_postgres_url + level))
    # 200: the form asks which of two values to keep.
    assert set(answer["statuses"]) <= {200, 302}
    # Of two who saw the same revision one was refused, and every other write is in the history.
    assert answer["applied"] + answer["refused"] == EDITS
    assert answer["edits"] == PEOPLE * EDITS - answer["told"] + answer["applied"]
    assert answer["is_last"]
