"""A process that edits policy and reads it at the same time; run by test_concurrency.

``python -m tests.policy.editors SCENARIO [NAME]`` on the migrated database of
``TEST_DATABASE_URL``. Processes that share a database have names, and one has run
``prepare`` before them; a process without a name prepares the rows itself. Prints one JSON
object: the errors that anybody met, and what a reader missed.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable

import django

django.setup()

from django.db import OperationalError, connections, transaction
from django.test.utils import override_settings

from apiguard.models import ApiKey, Client, Limit, PolicyState, Route, Tier
from apiguard.policy import holder, load, lookups, refresh
from apiguard.policy.holder import PolicyHolder
from apiguard.transfer.apply import RevisionMoved, apply_document
from apiguard.transfer.documents import Document
from apiguard.transfer.entries import read_policy

ROUNDS = int(os.environ.get("EDITORS_ROUNDS", "4"))
SECONDS_TO_WAIT = 30
SHARED = "shared"


def prepare(name: str) -> dict[str, object]:
    client = Client.objects.create(slug=SHARED, name=SHARED)
    Route.objects.create(name=SHARED, path_prefix=f"/{SHARED}/")
    for number in range(ROUNDS):
        ApiKey.objects.issue(client, f"key {number}")
    return {}


# -- many editors, and readers who must miss nothing ------------------------------------


def edit_routes(name: str, number: int) -> None:
    route = Route.objects.create(name=f"{name}{number}", path_prefix=f"/{name}{number}/")
    Route.objects.get(name=SHARED).save()
    route.delete() if number % 2 else route.save()


def edit_by_query(name: str, number: int) -> None:
    Route.objects.update_or_create({"cost": number + 1}, name=SHARED)
    Route.objects.filter(name=SHARED).update(cost=number + 1)
    Route.objects.get_or_create(name=f"q{name}{number}", path_prefix=f"/q{name}{number}/")


def edit_tiers(name: str, number: int) -> None:
    with transaction.atomic():
        tier = Tier.objects.create(slug=f"{name}{number}", name=name)
        Limit.objects.create(tier=tier, name="m", amount=1, period=60)
        Client.objects.filter(slug=SHARED).update(metadata={"by": name})
    Tier.objects.filter(pk=tier.pk).delete()


def edit_keys(name: str, number: int) -> None:
    ApiKey.objects.order_by("pk")[number].revoke(name)
    ApiKey.objects.issue(Client.objects.get(slug=SHARED), f"{name}{number}")


class Reader:
    """Asks for the policy in force and looks up every key, over and over."""

    def __init__(self) -> None:
        self.holder = PolicyHolder()
        self.stop = threading.Event()
        self.key_ids = list(ApiKey.objects.values_list("key_id", flat=True))

    def run(self) -> None:
        while not self.stop.is_set():
            snapshot = self.holder.snapshot()
            for key_id in self.key_ids:
                if snapshot.keyring.get(key_id) is None:
                    lookups.key(snapshot, key_id)
            time.sleep(0.002)  # Leaves the processor to those who edit.

    def missed(self) -> list[str]:
        """What this reader believes and a new one does not, under one revision."""
        while True:
            mine, new = self.holder.snapshot(), PolicyHolder().snapshot()
            if mine.stamp == new.stamp:
                break
        missed = [] if mine.routes._entries == new.routes._entries else ["routes"]
        stale = [record for record in mine.keyring._records.values() if record_is_stale(record)]
        return missed + [f"key {record.name}" for record in stale if mine.stamp == stamp()]


def record_is_stale(record: object) -> bool:
    return load.key(record.key_id) != record


def stamp() -> str:
    return PolicyState.objects.get().stamp


def editors(name: str) -> dict[str, object]:
    errors: list[str] = []
    reader = Reader()

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    def rounds(edit: Callable[[str, int], None]) -> Callable[[], None]:
        return lambda: [edit(name, number) for number in range(ROUNDS)]

    edits = (edit_routes, edit_by_query, edit_tiers, edit_keys)
    writers = [threading.Thread(target=run, args=[rounds(edit)]) for edit in edits]
    readers = [threading.Thread(target=run, args=[reader.run]) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    reader.stop.set()
    for thread in readers:
        thread.join()
    return {"errors": errors, "missed": reader.missed()}


# -- two transactions that commit in the other order than they began ----------------------


def overlapping(name: str) -> dict[str, object]:
    reader, begun, go_on = PolicyHolder(), threading.Event(), threading.Event()
    before = reader.snapshot().revision

    def slow() -> None:
        with transaction.atomic():
            Client.objects.count()
            begun.set()
            go_on.wait(SECONDS_TO_WAIT)
            Route.objects.create(name="slow", path_prefix="/slow/")
        connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(SECONDS_TO_WAIT)
    Route.objects.create(name="quick", path_prefix="/quick/")
    seen = [_seen(reader, before)]
    go_on.set()
    thread.join()
    return {"seen": [*seen, _seen(reader, before)]}


def queueing(name: str) -> dict[str, object]:
    """The second editor waits for the first, and takes the later number."""
    reader, written, go_on = PolicyHolder(), threading.Event(), threading.Event()
    before = reader.snapshot().revision

    def first() -> None:
        with transaction.atomic():
            Route.objects.create(name="first", path_prefix="/first/")
            written.set()
            go_on.wait(SECONDS_TO_WAIT)
        connections.close_all()

    def second() -> None:
        Route.objects.create(name="second", path_prefix="/second/")
        connections.close_all()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    written.wait(SECONDS_TO_WAIT)
    threads[1].start()
    seen = [_seen(reader, before)]
    go_on.set()
    for thread in threads:
        thread.join()
    return {"seen": [*seen, _seen(reader, before)]}


def _seen(reader: PolicyHolder, before: int) -> list[object]:
    snapshot = reader.snapshot()
    names = sorted(route.name for route in snapshot.routes._entries.values())
    return [snapshot.revision - before, [name for name in names if name != SHARED]]


# -- the same, hammered: whoever has committed is seen by whoever looks afterwards ---------


def hammered(name: str) -> dict[str, object]:
    reader, errors, missed = Reader(), [], []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    def edit(writer: int) -> None:
        for number in range(ROUNDS):
            made = f"h{name}{writer}x{number}"
            _commit_in_any_order(made)
            if made not in _names(reader.holder):
                missed.append(made)

    writers = [threading.Thread(target=run, args=[lambda n=n: edit(n)]) for n in range(3)]
    others = threading.Thread(target=run, args=[reader.run])
    for thread in (*writers, others):
        thread.start()
    for thread in writers:
        thread.join()
    reader.stop.set()
    others.join()
    return {"errors": errors, "missed": missed + reader.missed()}


def _commit_in_any_order(made: str) -> None:
    """A transaction that begins now and writes policy when others have; again if it must be."""
    while True:
        try:
            with transaction.atomic():
                Client.objects.count()  # Here REPEATABLE READ decides what it will see.
                time.sleep(random.random() / 50)
                first, second = random.sample([_make_tier, _make_route], 2)
                first(made)
                time.sleep(random.random() / 100)
                second(made)
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != "40001":
                raise


def _make_route(name: str) -> None:
    Route.objects.create(name=name, path_prefix=f"/{name}/")


def _make_tier(name: str) -> None:
    Tier.objects.create(slug=name.lower(), name=name)


def _names(reader: PolicyHolder) -> set[str]:
    return {route.name for route in reader.snapshot().routes._entries.values()}


# -- looks of a process whose transactions see one moment only ------------------------------


def isolated(name: str) -> dict[str, object]:
    """What a reader sees inside an open transaction, beside it, and in the next one."""
    reader = PolicyHolder()
    reader.snapshot()

    def elsewhere(prefix: str) -> None:
        thread = threading.Thread(
            target=lambda: [_make_route(prefix), connections.close_all()], daemon=True
        )
        thread.start()
        thread.join(SECONDS_TO_WAIT)

    with transaction.atomic():
        Client.objects.count()
        elsewhere("meanwhile")
        inside = "meanwhile" in _names(reader)
    after = "meanwhile" in _names(reader)
    with transaction.atomic():
        following = "meanwhile" in _names(reader)
    return {"inside": inside, "after": after, "following": following}


# -- files that are applied beside editors --------------------------------------------------


def applied(name: str) -> dict[str, object]:
    """Appliers that each raise one amount as often as they can, beside an editor who makes tiers.

    What an applier read and planned on is overwritten by nobody unseen: it is done or refused.
    """
    tier = Tier.objects.create(slug=f"counted{name}", name="Counted")
    limit = Limit.objects.create(tier=tier, name="m", amount=1, period=60)
    done, refused, errors = [], [], []
    has_read = threading.Barrier(3, timeout=SECONDS_TO_WAIT)

    def raise_amount() -> None:
        for _ in range(ROUNDS):
            policy = read_policy(with_clients=False)
            entry = policy.entries["limits", tier.slug, "m"]
            has_read.wait()
            row = {"name": "m", "amount": entry.values["amount"] + 1, "period": 60}
            rows = [{"slug": tier.slug, "name": "Counted", "limits": [row]}]
            try:
                apply_document(Document({"tiers": rows}), expect=policy.state.revision)
                done.append(row["amount"])
            except RevisionMoved:
                refused.append(row["amount"])

    def edit() -> None:
        for number in range(ROUNDS):
            Tier.objects.create(slug=f"beside{name}{number}", name="Beside")

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed to the test
            errors.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    works = (raise_amount, raise_amount, raise_amount, edit)
    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limit.refresh_from_db()
    return {
        "errors": errors,
        "lost": len(done) + 1 - limit.amount,
        "missing": ROUNDS - Tier.objects.filter(slug__startswith=f"beside{name}").count(),
        "untried": 3 * ROUNDS - len(done) - len(refused),
        "done": len(done) / ROUNDS,
    }


SCENARIOS = {
    run.__name__: run
    for run in (prepare, editors, overlapping, queueing, hammered, isolated, applied)
}

if __name__ == "__main__":
    # A machine that is busy with other tests is no database that is away, and editors come
    # to an end, however often they overtake who reads.
    load.ATTEMPTS = 1000
    for module in (holder, refresh, lookups):
        module.ANSWER_SECONDS = SECONDS_TO_WAIT
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0}):
        scenario, name = sys.argv[1], "".join(sys.argv[2:])
        if not name:
            prepare(name)
        print(json.dumps(SCENARIOS[scenario](name)))  # noqa: T201 - its answer
