"""Several people who edit the same rows in the admin while a file is applied again and again.

``python -m tests.admin.editors_at_once`` on the migrated database of
``TEST_DATABASE_URL``. Prints one JSON object: the statuses of all edits, how
many of them came back to the form, how often the file was applied and refused, how many
edits the history knows, and whether the last of them is what is stored.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connections
from django.test import Client as Browser

from apiguard.admin.conflict_retry import is_retryable
from apiguard.models import Client, PolicyChange, PolicyState, Route, Tier
from apiguard.transfer.apply import RevisionMoved, apply_document
from apiguard.transfer.documents import read_document
from tests.server.desk import _Forms, confirmation_of

PEOPLE, EDITS = 4, 8


def signed_in(number: int) -> Browser:
    """Somebody at the desk; one after the other, as Django's sessions are not what is tried."""
    browser = Browser(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser(f"boss-{number}", password="boss"))
    return browser


def edit(number: int, browser: Browser) -> list[tuple[int, bool]]:
    """Edit rows of several tables, in an order of one's own."""
    rows = [("route", Route, "cost"), ("tier", Tier, "name"), ("client", Client, "name")]
    seen = []
    for turn in range(EDITS):
        kind, model, field = rows[(number + turn) % len(rows)]
        path = f"/admin/apiguard/{kind}/{model.objects.get().pk}/change/"
        page = browser.get(path).content.decode()
        form = next(form for form in _Forms(page).forms if field in form)
        form[field] = [str(100 * number + turn + 2)]
        answer = browser.post(path, form)
        # The facts move while others edit, and are then shown again.
        while box := confirmation_of(answer.content.decode()):
            answer = browser.post(path, form | {box[0]: [box[1]]})
        # The same field was changed by another person since the form was opened.
        is_conflict = answer.status_code == 200 and "was changed" in answer.content.decode()
        seen.append((answer.status_code, is_conflict or answer.headers.get("Location") == path))
    connections.close_all()
    return seen


def apply_often() -> tuple[int, int]:
    """Export, change one value, apply it if nobody was faster; how often it was, and was not."""
    applied = refused = 0
    for number in range(EDITS):
        exported = StringIO()
        revision = PolicyState.objects.get(pk=1).revision
        call_command("apiguard", "export", "--format", "json", stdout=exported, stderr=StringIO())
        data = json.loads(exported.getvalue())
        data["routes"][0]["cost"] = 10_000 + number
        document = read_document(json.dumps(data).encode())
        try:
            apply_document(document, expect=revision)
            applied += 1
        except RevisionMoved:
            refused += 1
        except OperationalError as error:
            # The stricter levels of isolation notice it first; the command says so.
            if not is_retryable(error):
                raise
            refused += 1
    connections.close_all()
    return applied, refused


def main() -> None:
    """Everybody at once."""
    browsers = [signed_in(number) for number in range(PEOPLE)]
    Route.objects.create(name="one", path_prefix="/one/")
    tier = Tier.objects.create(slug="tier", name="Tier")
    Client.objects.create(slug="client", name="Client", tier=tier)
    before = PolicyChange.objects.count()
    with ThreadPoolExecutor(PEOPLE + 1) as pool:
        applying = pool.submit(apply_often)
        seen = [one for person in pool.map(edit, range(PEOPLE), browsers) for one in person]
        applied, refused = applying.result()
    statuses = sorted({status for status, _ in seen})
    told = sum(came_back for _, came_back in seen)
    edits = PolicyChange.objects.count() - before
    last = PolicyChange.objects.filter(model="apiguard.route").order_by("-pk").first()
    answer = {
        "statuses": statuses,
        "told": told,
        "applied": applied,
        "refused": refused,
        "edits": edits,
        "is_last": last is not None and last.after == {"cost": Route.objects.get().cost},
    }
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()
