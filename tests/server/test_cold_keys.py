"""Keys that a new worker has not seen, very many at once: good ones are let in, no other is."""

from __future__ import annotations

import pytest

from tests.server.cold_keys import GOOD, KINDS, UNKNOWN, call_with_all, make_keys, serving
from tests.server.outage import site_on_postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site():
    with site_on_postgres() as (demo, _postgres):
        yield demo, make_keys(demo)


@pytest.mark.parametrize("kind", KINDS)
def test_every_good_key_is_let_in_beside_a_flood_of_unknown_ones(site, kind):
    demo, keys = site
    with serving(kind, demo) as server:
        good, unknown = call_with_all(server, keys)
    assert [answer.status for answer in good] == [200] * GOOD
    assert [answer.status for answer in unknown] == [401] * UNKNOWN
