"""One signed POST of an event (https://www.standardwebhooks.com), within a bounded time.

The operator configures the URL, so any address is allowed. Proxies are those of the
environment (``HTTPS_PROXY``, ``NO_PROXY``), because receivers are usually outside and
servers often reach the outside through one. Redirects are not followed: they would
send the event to somebody else. The body of the answer is not read.

``urllib.request`` limits each read, and no resolver takes a timeout, so a thread
that can be left behind does the work.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPException
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from standardwebhooks.webhooks import Webhook

from ..concurrency import Busy, DaemonThreads, TimedOut
from ..rules.webhooks import WebhookTarget

# For each read and write, and for all of an attempt.
READ_SECONDS = 5.0
ATTEMPT_SECONDS = 10.0
# Attempts that hang, of all webhooks; the others wait for their turn.
_threads = DaemonThreads("apiguard-webhook-post", most=8, max_queue=32)


class DeliveryFailed(Exception):
    """The receiver did not accept the event; the message says why, without its URL."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Refuse; the answer becomes an ``HTTPError``."""
        return


def post_event(target: WebhookTarget, message_id: str, body: str) -> None:
    """Post one event.

    Raises:
        DeliveryFailed: no answer in time, or another one than 2xx.
    """
    request = _signed(target, message_id, body)
    try:
        _threads.call(lambda: _send(request), ATTEMPT_SECONDS)
    except (Busy, TimedOut, TimeoutError):
        raise DeliveryFailed("no answer in time") from None
    except HTTPError as error:
        raise DeliveryFailed(f"answered {error.code}") from None
    except URLError as error:
        reason = "no answer in time" if isinstance(error.reason, TimeoutError) else error.reason
        raise DeliveryFailed(f"cannot be reached: {reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryFailed(f"{type(error).__name__}: {error}") from None


def _signed(target: WebhookTarget, message_id: str, body: str) -> Request:
    at = datetime.now(UTC)
    return Request(  # noqa: S310 - the setting permits http and https alone
        target.url,
        data=body.encode(),
        headers={
            "Content-Type": "application/json",
            "User-Agent": "apiguard",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(message_id, at, body),
        },
        method="POST",
    )


def _send(request: Request) -> None:
    try:
        build_opener(_NoRedirect).open(request, timeout=READ_SECONDS).close()
    except HTTPError as error:
        error.close()
        raise
