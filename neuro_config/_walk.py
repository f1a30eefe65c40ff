"""The platform's answer, read so that the values of one cluster live at a time.

The members of the answer are decoded one by one, and so are the elements of its list of
clusters: each is checked, reduced to the line that a catalog keeps, and dropped. One
whose text is a line of the stored catalog that this version has checked is not even
decoded, since the text of a whole object is the beginning of nothing else.

What is no such answer, for whatever reason, is left to ``parse_json``, which reads it as
a whole and says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, Optional, Tuple

from ._cluster_line import ClusterLine, Known, Text, line_of
from ._convert import Fields, Malformed, finite, parse_json, require_bounded
from ._wire import parse_cluster

_scan = json.JSONDecoder(parse_float=finite, parse_constant=finite).raw_decode
_after_space = re.compile(r"[ \t\n\r]*").match


def walk(body: bytes, known: Known) -> Optional[Fields]:
    """Read an answer.

    Args:
        body: The answer's body.
        known: The stored catalog, whose lines are taken over.

    Returns:
        The members of the object that it is, ``clusters`` as lines; ``None`` if it has
        to be read as a whole.
    """
    try:
        require_bounded(body)
        return _Walk(body, known).members()
    except (ValueError, RecursionError):
        return None


def read_line(raw: Any, text: Optional[Text] = None) -> ClusterLine:
    """Check a cluster and make its line.

    Args:
        raw: The platform's object.
        text: As ``line_of``.

    Raises:
        Malformed: The platform sends no such cluster.
    """
    found = parse_cluster(raw)
    try:
        return line_of(raw, found.orgs, text)
    except RecursionError:
        raise Malformed("", "nested too deeply") from None


class _Walk:
    def __init__(self, body: bytes, known: Known) -> None:
        self._body = body
        self._known = known.lines
        # One character for each byte: what JSON is made of looks the same in UTF-8.
        self._text = body.decode("latin-1")
        self._at = 0

    def members(self) -> Fields:
        fields: Fields = {}
        for _ in self._each("{", "}"):
            name = self._value()
            if type(name) is not str:
                raise ValueError
            self._require(":")
            fields[name] = self._clusters() if name == "clusters" else self._value()
        if self._at != len(self._text):
            raise ValueError
        return fields

    def _clusters(self) -> Tuple[ClusterLine, ...]:
        lines: Dict[str, ClusterLine] = {}
        places = {line.name: place for place, line in enumerate(self._known)}
        place = 0  # of the line that should come next
        for _ in self._each("[", "]"):
            line = self._line_at(place)
            if line is None:
                line = self._new_line()
                place = places.get(line.name, place - 1)
            place += 1
            lines[line.name] = line
        return tuple(lines.values())

    def _line_at(self, place: int) -> Optional[ClusterLine]:
        """Move behind a line of the stored catalog if it comes next."""
        if place < len(self._known):
            line = self._known[place]
            if self._body.startswith(line.text, self._at):
                self._at += len(line.text)
                return line
        return None

    def _new_line(self) -> ClusterLine:
        start = self._at
        raw = self._value()
        if self._text.find("\n", start, self._at) >= 0:
            return read_line(raw)
        return read_line(raw, memoryview(self._body)[start : self._at])

    def _value(self) -> Any:
        start = self._at
        value, self._at = _scan(self._text, start)
        text = self._text[start : self._at]
        if not text.isascii() or "\\ud" in text or "\\uD" in text:
            return parse_json(self._body[start : self._at])
        return value

    def _each(self, opening: str, closing: str) -> Iterator[None]:
        """Stand before each of the things between two brackets in turn."""
        self._require(opening)
        if self._takes(closing):
            return
        yield
        while not self._takes(closing):
            self._require(",")
            yield

    def _require(self, sign: str) -> None:
        if not self._takes(sign):
            raise ValueError

    def _takes(self, sign: str) -> bool:
        """Move behind a sign and the space around it if it comes next."""
        self._skip_space()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        self._skip_space()
        return True

    def _skip_space(self) -> None:
        found = _after_space(self._text, self._at)
        assert found is not None
        self._at = found.end()
