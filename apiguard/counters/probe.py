"""Whether the store counts at this moment: the script itself, run on keys of the probe's own.

A PING proves less: a read-only replica and a full Redis answer it, and a user that
may count need not be allowed to send it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis.cluster import RedisCluster

from ..rules.limits import Limit
from .base import LimitCheck, hash_principal, key_for
from .connect import connector
from .redis import RedisCounter

# No row has this number. The key is gone some seconds after the probe.
LIMIT = Limit(0, "probe", "window", 1_000_000, 1)
# Principals to try for one on every node of a cluster; a node without slots has none.
MAX_PRINCIPALS = 1_000


def probe_store(name: str, prefix: str, timeout: float) -> None:
    """Count one unit in the store that ``COUNTER`` names; on every primary of a cluster.

    Raises:
        StoreFailed: it does not answer, or refuses to count.
        Exception: what connecting raises, such as for a cache that is no Redis.
    """
    client = connector(name, timeout)()
    counter = RedisCounter(lambda: client, prefix, wait=timeout)
    for principal in _principals(client, prefix):
        counter.check(LimitCheck(principal, (LIMIT,), 1))


def _principals(client: Any, prefix: str) -> Iterator[str]:
    if not isinstance(client, RedisCluster):
        yield "probe"
        return
    cluster: Any = client  # redis-py leaves these methods without types.
    left = {node.name for node in cluster.get_primaries()}
    for number in range(MAX_PRINCIPALS):
        principal = f"probe:{number}"
        key = key_for(prefix, hash_principal(principal), LIMIT.pk)
        node = cluster.get_node_from_key(key)
        if node is not None and node.name in left:
            left.discard(node.name)
            yield principal
        if not left:
            return
