"""Names say what stands behind them in the usual words of Django, HTTP and caching."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.source import Package, defined_names, read_package, words_of

# Each of these was a term of this project alone. Beside each line: what to write instead.
BANNED = frozenset(
    {
        *("told", "said", "say", "says", "tell", "tells"),  # send, report, record, log
        *("ask", "asks", "asked", "asking", "question"),  # check, call, query
        *("teach", "taught"),  # register, load
        *("look", "looks"),  # refresh; but "look up" is a word of everybody
        *("again", "likeness"),  # cached, key
        *("meanwhile", "underway", "waiting", "taken"),  # pending, running, held
        *("passage", "offered", "door", "doors", "desk"),  # context, presented, admin
        *("crew", "pulse", "board", "boards", "hurry", "patience"),  # threads, heartbeats, timeout
        *("standing",),  # status
        *("whose", "whoever", "overtaken", "adopt"),  # owner, identify, conflict
        *("spelling", "spellings"),  # variants, suggestions
        *("ticket", "tickets"),  # token
    }
)
LOOK_UP = re.compile("look_?up", re.IGNORECASE)


def found_words(package: Package) -> Iterator[tuple[str, str, str]]:
    """Module, banned word, and the name that has it."""
    for module, tree in package.trees.items():
        if ".migrations" in module:
            continue
        for name in defined_names(tree) | set(module.split(".")[1:]):
            for word in words_of(LOOK_UP.sub("lookup", name)) & BANNED:
                yield module, word, name


PACKAGE = read_package("apiguard")


@pytest.mark.parametrize("module", PACKAGE.files)
def test_a_name_has_no_word_of_a_language_of_its_own(module):
    one = Package({}, {module: PACKAGE.trees[module]}, {})
    assert {(word, name) for _, word, name in found_words(one)} == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("_ask_or_revoke", {"ask", "or", "revoke"}, id="a private function"),
        pytest.param("LookUpFailed", {"look", "up", "failed"}, id="a class"),
        pytest.param("MAX_WAITING", {"max", "waiting"}, id="a constant"),
        pytest.param("lookup", {"lookup"}, id="one word"),
        pytest.param("JWTAgain", {"jwt", "again"}, id="an abbreviation"),
    ],
)
def test_a_name_is_read_word_by_word(name, words):
    assert words_of(name) == words
