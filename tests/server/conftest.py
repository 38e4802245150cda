"""The demonstration under real servers, shared by all tests that change no policy.

Both servers would believe forwarding headers from loopback; here that is
switched off, because it is apiguard that is to judge them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.demo_site import DemoSite, copy_of
from tests.server.calls import PROXY, Site
from tests.servers import gunicorn, uvicorn

# Says which worker answered which request.
ACCESS_LINE = "worker=%(p)s id=%({x-request-id}o)s status=%(s)s"
STARTERS: dict[str, Callable[..., Any]] = {"gunicorn": gunicorn, "uvicorn": uvicorn}
OPTIONS = {
    "gunicorn": (
        *("--forwarded-allow-ips", ""),
        *("--access-logfile", "-", "--access-logformat", ACCESS_LINE),
    ),
    "uvicorn": ("--no-proxy-headers",),
}


@contextmanager
def serving(kind: str, demo: DemoSite, **options: Any) -> Iterator[Site]:
    """The site under ``gunicorn`` or ``uvicorn``, behind the proxy that tests pretend to be."""
    with STARTERS[kind](demo.env, options=OPTIONS[kind], **options) as server:
        yield Site(kind, server, demo)


def behind_proxy(demo: DemoSite) -> DemoSite:
    """The same site, believing ``PROXY``."""
    return demo.with_env(APIGUARD_TRUSTED_PROXIES=json.dumps([PROXY]))


def patient(redis_url: str) -> str:
    """The same Redis, waited for: a test must not turn a busy machine into an outage."""
    return (
        f"{redis_url}{'&' if '?' in redis_url else '?'}socket_timeout=20&socket_connect_timeout=20"
    )


def prepared(template: tuple[DemoSite, Path], folder: Path, redis_url: str = "") -> DemoSite:
    """The demonstration on a database of its own, behind the proxy."""
    demo = behind_proxy(copy_of(template, folder))
    return demo.with_env(REDIS_URL=patient(redis_url)) if redis_url else demo


@pytest.fixture(scope="session")
def shared_site(
    demo_template: tuple[DemoSite, Path], redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Site]]:
    """``shared_site(kind)``: one server of each kind for the whole run; gunicorn with two workers.

    Each is started when it is first asked for, and both go on together: files
    that are tried under both would else start them again and again.
    """
    with ExitStack() as running:

        @cache
        def start(kind: str) -> Site:
            demo = prepared(demo_template, tmp_path_factory.mktemp("served"), redis_url)
            return running.enter_context(serving(kind, demo))

        yield start


@pytest.fixture(params=sorted(STARTERS))
def site(request: pytest.FixtureRequest, shared_site: Callable[[str], Site]) -> Site:
    """The shared server of one kind, with nothing counted yet."""
    return shared_site(request.param)


@pytest.fixture
def own_demo(demo_template: tuple[DemoSite, Path], redis_url: str, tmp_path: Path) -> DemoSite:
    """The demonstration on a database of this test's own, counters in Redis."""
    return prepared(demo_template, tmp_path, redis_url)
