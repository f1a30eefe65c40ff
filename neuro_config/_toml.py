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

# Texts and comments. Each alternative takes what it can: none is tried twice.
_TEXT = re.compile(
    r'"""(?:[^\\"]+|\\.|"(?!""))*(?:"{3,5})?'
    r"|'''(?:[^']+|'(?!''))*(?:'{3,5})?"
    r'|"(?:[^\\"\n]+|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_KEY = re.compile(r"[^=,\[\]{}\n]+")
_LONG = re.compile(r"0[xob][0-9A-Fa-f_]{3000}")  # Python writes 4300 decimal digits


def loads(text: str) -> Dict[str, Any]:
    """Read TOML.

    Raises:
        tomli.TOMLDecodeError: It is none.
        RecursionError: It is nested too deeply.
        ValueError: An integer has too many digits.
    """
    bare = _TEXT.sub("x", text)
    dots = [key.group().count(".") for key in _KEY.finditer(bare)]
    # A single one may be that of a number.
    if max(dots, default=0) >= MAX_NAMES or sum(n for n in dots if n > 1) > MAX_DOTS:
        raise RecursionError("keys of too many names")
    if _LONG.search(bare):
        raise ValueError("an integer of too many digits")
    return tomli.loads(text)
