"""Changes to a document by its pieces: names, texts, numbers, brackets, whole groups.

Bytes changed at random are seldom JSON or TOML any more, so they test the parser and
nothing behind it. Here a piece is replaced by another of the document, or by one with
which programs have had trouble.
"""

from __future__ import annotations

import random
import re
from typing import List, Tuple

LONGEST = 1 << 16  # bytes

_PIECE = re.compile(
    rb'"(?:[^"\\\n]|\\.)*"'  # a text
    rb"|'[^'\n]*'"
    rb"|@?[A-Za-z0-9_+.-]+"  # a name or number
    rb"|[ \t]+|\r?\n"
    rb"|.",
    re.DOTALL,
)
_CLOSING = {b"[": b"]", b"{": b"}"}

ODD: List[bytes] = [
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b'{"":[]}', b'""', b'"one"',
    b"0", b"-0", b"-1", b"1", b"7", b"0.5", b"1e400", b"-1e400", b"1e-400", b"NaN",
    b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf", b"9223372036854775808", b"1e12",
    b"9" * 400, b"9" * 5000, b"0x" + b"f" * 5000, b"1e999999999", b"0.1", b"1.10",
    b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\\u001b[2J"', b'"\\u0085"',
    b'"\xc3\xa9"', b'"\xed\xa0\x80"', b"\xff", b"\x00", b'"\\n"', b'"\xe2\x80\xa8"',
    b"[" * 50 + b"]" * 50, b"[" * 5000 + b"]" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900,
    b"[" * 980 + b"]" * 980, b'"' + b"x" * 5000 + b'"', b'"../../x"', b'"' + b"0" * 64 + b'"',
    b'"http://["', b'"https://a:99999"', b'"https://xn--a"', b'"https://[::1]:1/x"',
    b'"https://user:pw@a.b/"', b'"http://a.b"', b'"https://a.b?#"', b'"//a"', b'"a:b"',
    b"1979-05-27T07:32:00Z", b"07:32:00", b"1979-05-27", b'"""\n"""', b"'''a'''",
    b"a.b.c", b".", b"=", b":", b",", b"#", b"&", b"%00", b"%ed%a0%80", b"%", b";",
    b"code", b"state", b"error", b"error=access_denied", b"iss=http://[", b"neuro-config",
    b"credHelpers", b"schema", b"@0", b"@1", b"@size", b"NO_ORG", b"\xef\xbb\xbf", b"\\",
]  # fmt: skip


def changed(data: bytes, rng: random.Random) -> bytes:
    """Change a document in one to four places."""
    pieces = _PIECE.findall(data[:LONGEST])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(pieces, rng)
    return b"".join(pieces)[:LONGEST]


def _change(pieces: List[bytes], rng: random.Random) -> None:
    start, end = _group(pieces, rng)
    way = rng.randrange(6)
    if way == 0 or not pieces:
        pieces[start:end] = [rng.choice(ODD)]
    elif way == 1:
        other_start, other_end = _group(pieces, rng)
        pieces[start:end] = pieces[other_start:other_end]
    elif way == 2:
        del pieces[start:end]
    elif way == 3:
        pieces[end:end] = pieces[start:end] * rng.choice((1, 1, 3, 40))
    elif way == 4:
        pieces[start:start] = [rng.choice(ODD)]
    else:
        whole = bytearray(b"".join(pieces[start:end]))
        where = rng.randrange(len(whole) or 1)
        whole[where : where + rng.randrange(3)] = bytes([rng.randrange(256)])
        pieces[start:end] = [bytes(whole)]


def _group(pieces: List[bytes], rng: random.Random) -> Tuple[int, int]:
    """Choose a piece, or all from an opening bracket to the one that closes it."""
    start = rng.randrange(len(pieces) or 1)
    end = start + 1
    closing = _CLOSING.get(pieces[start]) if pieces else None
    if closing is not None and rng.randrange(4):
        depth = 0
        for place in range(start, len(pieces)):
            depth += (pieces[place] == pieces[start]) - (pieces[place] == closing)
            if depth == 0:
                return start, place + 1
    return start, end
