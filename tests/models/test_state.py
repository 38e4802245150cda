"""The state row: what it tells a worker that is behind."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apiguard.models import Change, Client, PolicyState, Route, Tier, everything
from apiguard.models.resets import recorded_unlock
from apiguard.models.state import NAMED, RECENT, Committed, PendingChange, one_revision, publish
from apiguard.policy.build import full


def state():
    return PolicyState.objects.get()


@pytest.mark.django_db
def test_the_first_change_makes_the_row():
    assert not PolicyState.objects.exists()
    with transaction.atomic():
        assert publish(everything) == 1
    assert (state().revision, len(state().recent)) == (1, 1)
    assert str(state()) == "revision 1"


@pytest.mark.django_db
def test_every_change_renews_the_stamp():
    seen = set()
    for _ in range(3):
        Route.objects.update(cost=1)
        seen.add(state().stamp)
    assert len(seen) == 3


@pytest.mark.django_db
def test_there_is_one_row():
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyState.objects.create(id=2)


@pytest.mark.django_db
def test_a_worker_reads_what_changed_since_its_revision():
    with transaction.atomic():
        publish(everything)
    then = state()
    client = Client.objects.create(slug="a", name="A")
    client.save()
    Route.objects.update(cost=1)
    expected = [Change("clients", ()), Change("clients", (client.pk,)), Change("route", ())]
    assert state().changes_since(then.revision, then.stamp) == expected
    assert state().changes_since(state().revision, state().stamp) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("revision", "stamp"),
    [
        pytest.param(1, "another", id="the same number with another stamp"),
        pytest.param(9, None, id="another number with the same stamp"),
        pytest.param(0, "", id="a worker that never saw any"),
    ],
)
def test_a_worker_with_another_stamp_gets_no_list_of_changes(revision, stamp):
    with transaction.atomic():
        publish(everything)
    given = state().stamp if stamp is None else stamp
    assert state().changes_since(revision, given) is None


@pytest.mark.django_db
def test_a_worker_that_has_a_revision_of_several_changes_forgets_none_of_them_twice():
    with one_revision(), transaction.atomic():
        tier = Tier.objects.create(slug="a", name="A")
        pk = tier.pk
        tier.delete()
        Route.objects.update(cost=1)
        # The same row is back: a worker that has it must not take it for deleted.
        Tier.objects.create(pk=pk, slug="a", name="A")
    then = state()
    assert len({entry[2] for entry in then.recent}) > 1
    Route.objects.update(cost=2)
    assert state().changes_since(then.revision, then.stamp) == [Change("route", ())]


@pytest.mark.django_db
def test_only_the_last_changes_are_kept():
    with transaction.atomic():
        publish(everything)
    then = state()
    for _ in range(RECENT):
        Route.objects.update(cost=1)
    assert len(state().recent) == RECENT
    assert state().changes_since(then.revision, then.stamp) is None


@pytest.mark.django_db
def test_an_unlocked_address_stays_so_however_many_changes_come_after_it():
    for _ in range(3):
        with recorded_unlock("ip:192.0.2.1"):
            pass
    then = state()
    for _ in range(2 * RECENT):
        Route.objects.update(cost=1)
    # Of several times the last one is kept, so that no address takes the place of others.
    assert full().snapshot.unlocked == ((then.revision, "ip:192.0.2.1"),)
    assert len(state().recent) == RECENT + 1
    # A worker that slept since then is not given what is left of the changes for all of them.
    assert state().changes_since(then.revision, then.stamp) is None


def test_a_change_of_too_many_names_none():
    assert Change.of("keys", range(NAMED)).pks == tuple(range(NAMED))
    assert Change.of("keys", range(NAMED + 1)).pks is None


@pytest.mark.django_db
def test_what_is_changed_is_evaluated_under_the_lock():
    asked = []

    def change():
        asked.append(state().revision)
        return everything

    with transaction.atomic():
        assert publish(change) == asked[0] == 1


@pytest.mark.django_db
def test_a_change_whose_callbacks_a_test_runs_is_still_pending(
    django_capture_on_commit_callbacks,
):
    with django_capture_on_commit_callbacks(execute=True):
        Route.objects.update(cost=1)
    assert PendingChange.newest("default") is not None


def test_commits_and_new_starts_are_counted_apart():
    committed = Committed()
    committed.note()
    committed.note()
    committed.start_over()
    assert (committed.count, committed.epoch) == (2, 1)
