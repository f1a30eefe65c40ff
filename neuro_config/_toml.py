"""TOML of bounded cost.

tomli takes a time that grows with the square of the number of names in a key, hundreds of
times the memory of the file for many such keys, and an integer in hex of any length,
which nothing can print. All that is refused before it reads.
"""

from __future__ import annotations

import re
from typing import Any, Dict

import tomli

MAX_NAMES = 40  # in one key; a setting of the user's has 34 at most
MAX_DOTS = 10_000  # in all keys; tomli keeps about a kilobyte for each

SHORT = 3000  # characters, too few for an integer that is too long

# Texts and comments. Each alternative takes what it can: none is tried twice.
_TEXT = (
    r'"""(?:[^\\"]+|\\.|"(?!""))*(?:"{3,5})?'
    r"|'''(?:[^']+|'(?!''))*(?:'{3,5})?"
    r'|"(?:[^\\"\n]+|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*"
)
_KEY = r"[^=,\[\]{}\n]+"
_LONG = r"0[xob][0-9A-Fa-f_]{3000}"  # Python writes 4300 decimal digits


def loads(text: str) -> Dict[str, Any]:
    """Read TOML.

    Raises:
        tomli.TOMLDecodeError: It is none.
        RecursionError: It is nested too deeply.
        ValueError: An integer has too many digits.
    """
    # A login passes by: the patterns take longer to compile than it takes to be read.
    if len(text) > SHORT or text.count(".") >= MAX_NAMES:
        _require_bounded(text)
    return tomli.loads(text)


def _require_bounded(text: str) -> None:
    bare = re.sub(_TEXT, "x", text, flags=re.DOTALL)
    dots = [key.group().count(".") for key in re.finditer(_KEY, bare)]
    # A single one may be that of a number.
    if max(dots, default=0) >= MAX_NAMES or sum(n for n in dots if n > 1) > MAX_DOTS:
        raise RecursionError("keys of too many names")
    if re.search(_LONG, bare):
        raise ValueError("an integer of too many digits")
