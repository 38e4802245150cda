"""YAML as policy files may use it, read strictly and in one way only.

Plain words mean what YAML 1.2's core schema says (section 10.3.2): ``off`` and ``no`` are
words, ``1:00`` and ``2026-12-01`` are text. What makes a file hard to review or costly to
read is refused: anchors, aliases, tags, merge keys, repeated keys, several documents.

PyYAML splits the text into events; what they mean is decided here, because its own
loaders follow YAML 1.1. For any text only ``DocumentError`` and ``YamlNotInstalled`` are raised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import DocumentError

if TYPE_CHECKING:
    import yaml

Path = tuple[str | int, ...]
Position = tuple[int, int]

MAX_DEPTH = 16
MAX_NUMBER_LENGTH = 64

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {word: value for value in (True, False) for word in (str(value), str(value).lower())}
_BOOLEANS |= {"TRUE": True, "FALSE": False}
_WHOLE = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL, _HEXADECIMAL = re.compile(r"0o[0-7]+\Z"), re.compile(r"0x[0-9a-fA-F]+\Z")
_FRACTION = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


class YamlNotInstalled(Exception):
    """PyYAML cannot be imported."""


@dataclass(slots=True)
class _Collection:
    """A list or mapping that is being read, and the key whose value comes next."""

    value: Any
    path: Path
    key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def next_path(self) -> Path:
        return (*self.path, len(self.value) if self.key is None else self.key)

    def add(self, value: Any) -> None:
        if self.key is None:
            self.value.append(value)
        else:
            self.value[self.key] = value
            self.key = None


@dataclass(slots=True)
class _Builder:
    """Builds values from events, and remembers where in the text each began."""

    positions: dict[Path, Position] = field(default_factory=dict)
    open: list[_Collection] = field(default_factory=list)
    root: Any = None
    documents: int = 0

    def take(self, event: yaml.Event) -> None:
        name, at = type(event).__name__, _position(event.start_mark)
        if name == "DocumentStartEvent":
            self._start_document(event, at)
        elif name == "AliasEvent":
            raise _refused("alias", at, "Aliases are refused.", "Write the value out.")
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            _refuse_decoration(event, at)
            self._begin({} if name == "MappingStartEvent" else [], at)
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self.open.pop()
        elif name == "ScalarEvent":
            _refuse_decoration(event, at)
            self._add_scalar(event, at)

    def _start_document(self, event: Any, at: Position) -> None:
        self.documents += 1
        if self.documents > 1:
            raise _refused("documents", at, "The file holds several documents.", "Write one.")
        if event.tags:
            raise _refused("tag", at, "Tags are refused.", "Remove the %TAG line.")

    def _begin(self, value: Any, at: Position) -> None:
        if len(self.open) >= MAX_DEPTH:
            hint = f"Nest at most {MAX_DEPTH} lists and mappings."
            raise _refused("too_deep", at, "The file is nested too deeply.", hint)
        if self.open and self.open[-1].wants_key:
            raise _refused("bad_key", at, "A key is a list or mapping.", "Write a name.")
        path = self._place(value, at)
        self.open.append(_Collection(value, path))

    def _add_scalar(self, event: Any, at: Position) -> None:
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            # PyYAML's parser in Python lets it through; no database takes it.
            raise _refused("bad_yaml", at, "This holds half a character.", "Remove it.")
        if self.open and self.open[-1].wants_key:
            self._add_key(event.value, at)
        else:
            is_plain, _ = event.implicit
            self._place(_plain_value(event.value, at) if is_plain else event.value, at)

    def _add_key(self, key: str, at: Position) -> None:
        mapping = self.open[-1]
        if key == "<<":
            raise _refused("merge_key", at, "Merge keys are refused.", "Write the members out.")
        if key in mapping.value:
            raise _refused("repeated_key", at, f"{key!r} stands here twice.", "Remove one of them.")
        mapping.key = key

    def _place(self, value: Any, at: Position) -> Path:
        path: Path
        if not self.open:
            self.root, path = value, ()
        else:
            path = self.open[-1].next_path()
            self.open[-1].add(value)
        self.positions[path] = at
        return path


def read_yaml(text: str) -> tuple[Any, dict[Path, Position]]:
    """Return the value that ``text`` spells, and the line and column where each part begins.

    Raises:
        DocumentError: the text is no YAML, or has something that is refused.
        YamlNotInstalled: PyYAML is missing.
    """
    builder = _Builder()
    for event in _events(text):
        builder.take(event)
    return builder.root, builder.positions


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        import yaml
    except ImportError:
        raise YamlNotInstalled from None
    try:
        # libyaml's parser has no bound on depth of its own, and is not recursive.
        yield from yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "it is not YAML"
        raise _unreadable(what, (1, 1) if mark is None else _position(mark)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets escapes of no character (\UFFFFFFFF) through to chr().
        raise _unreadable(str(error).splitlines()[0] if str(error) else "", (1, 1)) from None


def _plain_value(text: str, at: Position) -> Any:
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    for pattern, parse in _NUMBERS:
        if pattern.match(text):
            if len(text) > MAX_NUMBER_LENGTH:
                raise _refused("bad_number", at, "The number is too long.", "Write it in quotes.")
            return _finite(parse(text), at)
    if _NOT_FINITE.match(text):
        raise _refused("bad_number", at, f"{text} is no number.", "Write it in quotes.")
    return text


_NUMBERS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (_WHOLE, int),
    (_OCTAL, lambda text: int(text[2:], 8)),
    (_HEXADECIMAL, lambda text: int(text[2:], 16)),
    (_FRACTION, float),
)


def _finite(number: float, at: Position) -> float:
    if not math.isfinite(number):
        raise _refused("bad_number", at, "The number is too large.", "Write it in quotes.")
    return number


def _refuse_decoration(event: Any, at: Position) -> None:
    if event.anchor is not None:
        raise _refused("anchor", at, "Anchors are refused.", f"Remove &{event.anchor}.")
    if event.tag is not None:
        raise _refused("tag", at, "Tags are refused.", f"Remove {event.tag}.")


def _position(mark: Any) -> Position:
    return mark.line + 1, mark.column + 1


def _unreadable(what: str, at: Position) -> DocumentError:
    return _refused("bad_yaml", at, f"This is not YAML: {what}.", "")


def _refused(code: str, at: Position, reason: str, hint: str) -> DocumentError:
    return DocumentError(code, "", reason, hint, position=at)
