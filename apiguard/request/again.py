"""Requests like one before: what was judged once, up to the counter, is known again.

That much of a judgement depends on facts, settings, one policy and the time at
which a key is good, and on nothing else; the path has its say when the route
is found. So what it came to for an admitted request with a good key is kept in
its snapshot, by a digest of all facts that only this process
can make. Whatever is not exactly alike is judged from the beginning, and so is
everything once policy, a key or a setting has changed. No key is kept.
"""

from __future__ import annotations

import marshal
import os
from functools import partial
from hashlib import blake2b

from ..counters.base import Question
from ..policy.records import KeyRecord
from . import access, keys, response
from .passage import Credential, Known, Passage
from .verdict import Verdict

# Other processes name the same request otherwise, and nothing that is stored does.
_NAMING = os.urandom(32)
# Bytes of facts; longer ones are rare, or somebody's try.
MAX_FACTS = 4096
# The version without references: the bytes depend on the values alone.
_BY_VALUE = 2


def likeness_of(passage: Passage) -> bytes | None:
    """What stands for all requests like this one; ``None``: it is judged by itself."""
    facts, route = passage.facts, passage.route
    if route is None or (facts.api_key is None and facts.authorization is None):
        return None
    try:
        text = marshal.dumps((route.pk, *facts), _BY_VALUE)
    except ValueError:
        return None  # A gateway's own kind of text.
    # A secret in front makes BLAKE2 a keyed hash (RFC 7693, section 2.9, puts it there, too).
    return blake2b(_NAMING + text).digest() if len(text) < MAX_FACTS else None


def recall(passage: Passage) -> Known | None:
    """What a request like this came to, put on the passage; ``None``: judge it."""
    likeness = passage.likeness = likeness_of(passage)
    if likeness is None:
        return None
    known: Known | None = passage.snapshot.requests.get(likeness)
    if known is None or known.settings is not passage.settings:
        return None
    if keys.judge_record(known.record, passage) is not None:
        return None  # Its time is over, or not yet come: it is judged which.
    passage.known = known
    passage.identified = passage.counted = True
    passage.credential = known.credential_of(keys.client_user(known.record))
    passage.cors_origin = known.cors_origin
    passage.tier = known.tier
    return known


def remember(passage: Passage, question: Question | Verdict | None) -> None:
    """Keep what this request came to, if all like it come to the same."""
    credential = passage.credential
    if passage.likeness is None or credential is None or isinstance(question, Verdict):
        return
    record, client = credential.auth, credential.client
    if not isinstance(record, KeyRecord) or client is None or not keys.is_held(record, passage):
        return
    # The owner's row is looked up for every request; an override may end between two.
    differs = client.acts_as_owner or client.pk in passage.snapshot.overrides
    if differs or access.judge(passage) is not None:
        return
    known = Known(
        settings=passage.settings,
        record=record,
        # But for the user, of whom each request has its own: projects keep things there.
        credential_of=partial(Credential, *credential[:-1]),
        cors_origin=passage.cors_origin,
        tier=passage.tier,
        question=question,
        additions=response.additions_of(passage),
    )
    passage.snapshot.requests.put(passage.likeness, known)
