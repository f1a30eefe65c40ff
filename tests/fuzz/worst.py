"""Documents that cost a reader much for their length."""

from __future__ import annotations

from typing import Callable, Dict, List

Make = Callable[[int], str]


def _many(piece: str, size: int) -> str:
    """Repeat a piece; ``#`` in it becomes a number that is never the same."""
    if "#" not in piece:
        return piece * (size // len(piece))
    pieces: List[str] = []
    length = 0
    while length < size:
        pieces.append(piece.replace("#", str(len(pieces))))
        length += len(pieces[-1])
    return "".join(pieces)


def _in_list(piece: str, size: int) -> str:
    return "[" + _many(f"{piece},", size).rstrip(",") + "]"


_names = ".".join(["a"] * 30)

JSON: Dict[str, Make] = {
    "lists in lists": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "objects in objects": lambda size: '{"a":' * (size // 5),
    "empty lists": lambda size: _in_list("[]", size),
    "empty objects": lambda size: _in_list("{}", size),
    "keys": lambda size: "{" + _many('"#":0,', size).rstrip(",") + "}",
    "digits": lambda size: "9" * size,
    "a fraction": lambda size: "0." + "3" * size,
    "an exponent": lambda size: "1e" + "9" * size,
    "a text": lambda size: '"' + "x" * size + '"',
    "escapes": lambda size: '"' + "\\u00e9" * (size // 6) + '"',
    "quotes": lambda size: '"' + '\\"' * (size // 2),
    "blanks": lambda size: " " * size,
}
TOML: Dict[str, Make] = {
    "names": lambda size: ".".join(["a"] * (size // 2)) + " = 1",
    "names in brackets": lambda size: f"[{'.'.join(['a'] * (size // 2))}]",
    "keys": lambda size: _many("#=0\n", size),
    "deep keys": lambda size: _many(f"#.{_names}=0\n", size),
    "keys in a deep table": lambda size: (
        "[" + ".".join(["a"] * 900) + "]\n" + _many("#=0\n", size)
    ),
    "tables": lambda size: _many("[#]\n", size),
    "deep tables": lambda size: _many(f"[#.{_names}]\n", size),
    "lists of tables": lambda size: _many("[[a]]\n", size),
    "lists in lists": lambda size: "a=" + "[" * size,
    "tables in tables": lambda size: "a=" + "{a=" * (size // 3),
    "empty lists": lambda size: "a=" + _in_list("[]", size),
    "digits": lambda size: "a=" + "9" * size,
    "hex": lambda size: "a=0x" + "f" * size,
    "a text": lambda size: 'a="' + "x" * size + '"',
    "quotes": lambda size: 'a="' + '\\"' * (size // 2),
    "more quotes": lambda size: 'a="""' + '""\\' * (size // 3),
    "comments": lambda size: "#\n" * (size // 2),
    "letters": lambda size: "a" * size,
}
