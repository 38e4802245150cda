"""Events reach a real receiver, signed so that the official package verifies them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import override_settings
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from apiguard import conf, signals
from apiguard.models import ApiKey, Client, Route, WebhookStatus, acting
from apiguard.rules.webhooks import WebhookTarget
from apiguard.telemetry import webhook_post, webhooks
from apiguard.telemetry.background_signals import BackgroundSignals
from apiguard.telemetry.webhook_events import SIGNALS
from apiguard.telemetry.webhook_post import DeliveryFailed, post_event
from tests.servers import free_port

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver(ThreadingHTTPServer):
    """Keeps every request; answers the statuses of ``answers``, then 204."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.answers, self.headers = [], [], {}
        self.go_on = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook?team=1"

    def events(self):
        """The bodies, each verified."""
        verifier = Webhook(SECRET)
        return [verifier.verify(body, headers) for _, headers, body in self.got]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status is None:
            self.server.go_on.wait(30)
            return
        self.send_response(status)
        for header, value in self.server.headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(webhooks, "PAUSES", (0.0, 0.0))
    yield
    webhooks.webhooks.reset()


@contextmanager
def posting_to(*servers, **more):
    named = {f"hook-{n}": {"url": s.url, "secret": SECRET} for n, s in enumerate(servers)}
    with override_settings(APIGUARD={"POLICY_MAX_AGE": None, "WEBHOOKS": named, **more}):
        yield


def flush():
    for queue in webhooks.webhooks._queues.values():
        queue.flush()


def status():
    return WebhookStatus.objects.get(name="hook-0")


# -- what is posted -----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_happens_to_a_key_is_posted_signed_and_without_its_text(receiver, django_user_model):
    user = django_user_model.objects.create(username="ann")
    with posting_to(receiver), acting(user):
        old, old_text = ApiKey.objects.issue(Client.objects.create(slug="acme", name="A"), "k")
        new, new_text = old.rotate(timedelta(hours=1), by=user, reason=f"leaked {old_text}")
        new.revoke("lost", by=user)
        assert receiver.got == []
        flush()
    events = {event["type"]: event for event in receiver.events()}
    assert {"key_issued", "key_rotated", "key_revoked", "policy_published"} == set(events)
    rotated = events["key_rotated"]["data"]
    assert (rotated["old"]["key_id"], rotated["new"]["key_id"]) == (old.key_id, new.key_id)
    assert (rotated["by"], rotated["new"]["client"]) == ("ann", "acme")
    assert rotated["old"]["expires_at"].endswith("Z")
    assert rotated["new"]["expires_at"] is None
    assert events["key_revoked"]["data"]["reason"] == "lost"
    assert events["key_issued"]["timestamp"].endswith("Z")
    sent = repr(receiver.got)
    for text in (old_text, new_text, old.digest):
        assert text not in sent
    assert status().delivered == len(receiver.got)


@pytest.mark.django_db(transaction=True)
def test_a_revision_is_one_event_however_many_rows_it_changes(receiver):
    Route.objects.create(name="a", path_prefix="/a/")
    Route.objects.create(name="b", path_prefix="/b/")
    with posting_to(receiver), acting(name="import", reason="moved"):
        Route.objects.update(cost=2)
        flush()
    (event,) = receiver.events()
    assert event["type"] == "policy_published"
    assert event["data"]["by"] == "import"
    assert event["data"]["reason"] == "moved"


@pytest.mark.django_db
def test_limits_and_outages_are_posted(receiver):
    with posting_to(receiver):
        queue = BackgroundSignals()
        given = {"client": "acme", "tier": "free", "limits": ("per-minute",), "enforced": True}
        queue.limits_reached("client:1", **given)
        queue.counter_changed(True)
        queue.counter_changed(False)
        queue.flush()
        flush()
    reached, away, back = receiver.events()
    assert reached["data"] == {
        "principal": "client:1",
        "client": "acme",
        "tier": "free",
        "limit": "per-minute",
        "enforced": True,
    }
    assert (away["type"], back["type"]) == ("counter_away", "counter_back")


def test_the_signature_is_the_one_of_the_specification(receiver):
    post_event(WebhookTarget(receiver.url, SECRET), "msg_1", '{"a":"\u00e4"}')
    ((path, headers, body),) = receiver.got
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/hook?team=1"
    assert headers["content-type"] == "application/json"
    signed = b".".join([b"msg_1", headers["webhook-timestamp"].encode(), body])
    digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


# -- what goes wrong ----------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answers", "attempts", "delivered"),
    [([200], 1, 1), ([500, 429, 202], 3, 1), ([500, 500, 500], 3, 0)],
    ids=["at once", "at the third attempt", "never"],
)
def test_an_event_is_tried_three_times_under_one_id(receiver, caplog, answers, attempts, delivered):
    receiver.answers = list(answers)
    with posting_to(receiver):
        webhooks.webhooks.receive(signals.counter_away, process="web:1")
        flush()
    assert len(receiver.got) == attempts
    assert len({headers["Webhook-Id"] for _, headers, _ in receiver.got}) == 1
    assert len(receiver.events()) == attempts
    row = status()
    assert (row.delivered, row.failed, row.is_failing) == (delivered, 1 - delivered, not delivered)
    assert ("answered 500" in caplog.text, row.error) == (
        not delivered,
        "" if delivered else "answered 500",
    )
    with posting_to(receiver):
        webhooks.webhooks.receive(signals.counter_back, process="web:1")
        flush()
    assert not status().is_failing


def test_a_redirect_is_not_followed(receiver):
    receiver.answers, receiver.headers = [307, 302], {"Location": receiver.url}
    for code in (307, 302):
        with pytest.raises(DeliveryFailed, match=f"answered {code}"):
            post_event(WebhookTarget(receiver.url, SECRET), "msg_1", "{}")
    assert len(receiver.got) == 2


def test_a_receiver_that_hangs_costs_a_bounded_time(receiver, monkeypatch):
    receiver.answers = [None]
    monkeypatch.setattr(webhook_post, "READ_SECONDS", 0.05)
    with pytest.raises(DeliveryFailed, match="no answer in time"):
        post_event(WebhookTarget(receiver.url, SECRET), "msg_1", "{}")


def test_an_attempt_that_takes_too_long_is_left_behind(receiver, monkeypatch):
    receiver.answers = [None]
    monkeypatch.setattr(webhook_post, "ATTEMPT_SECONDS", 0.05)
    with pytest.raises(DeliveryFailed, match="no answer in time"):
        post_event(WebhookTarget(receiver.url, SECRET), "msg_1", "{}")


def test_why_nothing_answers_is_reported_without_the_url():
    url = f"http://127.0.0.1:{free_port()}/token-in-the-path"
    with pytest.raises(DeliveryFailed) as failed:
        post_event(WebhookTarget(url, SECRET), "msg_1", "{}")
    assert "cannot be reached" in str(failed.value)
    assert "token" not in str(failed.value)


def test_the_proxy_of_the_environment_is_used(receiver, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{receiver.server_port}")
    post_event(WebhookTarget("http://hooks.test/here", SECRET), "msg_1", "{}")
    ((path, headers, _),) = receiver.got
    assert (path, headers["Host"]) == ("http://hooks.test/here", "hooks.test")


@pytest.mark.django_db
def test_events_without_room_are_counted(receiver, monkeypatch, caplog):
    monkeypatch.setattr(webhooks, "MAX_QUEUED", 2)
    with posting_to(receiver):
        for _ in range(5):
            webhooks.webhooks.receive(signals.counter_away, process="web:1")
        flush()
    assert (len(receiver.got), status().delivered, status().dropped) == (2, 2, 3)
    assert "3 events" in caplog.text


@pytest.mark.django_db
def test_a_receiver_that_fails_keeps_nothing_from_another(receiver):
    other = Receiver()
    threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
    receiver.answers = [500] * 3
    try:
        with posting_to(receiver, other):
            webhooks.webhooks.receive(signals.counter_away, process="web:1")
            flush()
        assert (len(receiver.got), len(other.got)) == (3, 1)
    finally:
        other.shutdown()
        other.server_close()


# -- when it is posted --------------------------------------------------------------


def test_without_webhooks_nobody_listens():
    with override_settings(APIGUARD={"WEBHOOKS": {}}):
        assert not any(signal.has_listeners() for signal in SIGNALS)


def test_a_test_run_of_a_project_posts_nothing(receiver):
    with posting_to(receiver, TESTING=True):
        signals.counter_away.send_robust(None, process="web:1")
        flush()
    assert receiver.got == []


@pytest.mark.django_db(transaction=True)
def test_a_thread_of_its_own_posts_and_the_end_of_the_process_waits_for_it(receiver, monkeypatch):
    with posting_to(receiver, POLICY_MAX_AGE=1.0):
        webhooks.webhooks.receive(signals.counter_away, process="web:1")
        names = {thread.name for thread in threading.enumerate()}
        webhooks.webhooks.finish(10)
    assert "apiguard-webhook-hook-0" in names
    assert [event["data"] for event in receiver.events()] == [{"process": "web:1"}]


def test_http_to_another_machine_is_for_debug():
    given = {"WEBHOOKS": {"ops": {"url": "http://hooks.example.com/", "secret": SECRET}}}
    with override_settings(APIGUARD=given), pytest.raises(ImproperlyConfigured) as error:
        conf.current()
    assert "without TLS" in str(error.value)
    assert SECRET not in str(error.value)
    with override_settings(APIGUARD=given, DEBUG=True):
        assert not conf.current().webhooks["ops"].is_protected


# -- what is reported ---------------------------------------------------------------


def run_check():
    answers = []
    for options in ((), ("--json",)):
        out = StringIO()
        call_command("apiguard", "check", *options, stdout=out)
        answers.append(out.getvalue())
    return answers[0], json.loads(answers[1])


@pytest.mark.django_db
def test_the_command_shows_how_deliveries_went_and_warns(receiver):
    with posting_to(receiver):
        out, data = run_check()
        assert "Webhook hook-0 (127.0.0.1): 0 delivered, 0 failed." in out
        assert "warning" not in out
        receiver.answers = [204, 500, 500, 500]
        for _ in range(2):
            webhooks.webhooks.receive(signals.counter_away, process="web:1")
        flush()
        out, data = run_check()
    assert "Webhook hook-0 (127.0.0.1): 1 delivered, 1 failed." in out
    assert "warning: webhook 'hook-0' fails: answered 500." in out
    (webhook,) = data["webhooks"]
    assert (webhook["failing"], webhook["error"]) == (True, "answered 500")
    assert SECRET not in out + json.dumps(data)
    assert "team=1" not in out + json.dumps(data)
