"""TOML of bounded cost."""

from __future__ import annotations

import pytest
import tomli
from hypothesis import given, strategies as st

from neuro_config._toml import MAX_DOTS, MAX_NAMES, loads

PIECES = ['"', "'", '"""', "'''", "\\", "#", "\n", ".", "=", "a", "0x", "[", "]", " "]


def deep(names: int) -> str:
    return ".".join(["a"] * names)


@pytest.mark.parametrize(
    "text",
    [
        f"{deep(MAX_NAMES)} = 1",
        f"[{deep(MAX_NAMES)}]\n{deep(MAX_NAMES)} = 1",
        f"x = [{', '.join(['1.5'] * 20_000)}]",
        f'x = "{deep(100)}" # {deep(100)}',
        f"x = '{deep(100)}'",
        f'x = """\n"{deep(100)}\\""""',
        f"x = '''\n'{deep(100)}'''",
        "x = 0x" + "f" * 16,
        f'x = "0x{"f" * 500}"',
    ],
)
def test_what_is_read(text: str) -> None:
    """What a person writes is read as it is, whatever is in its texts and comments."""
    assert tomli.loads(text) == loads(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{deep(MAX_NAMES + 1)} = 1",
        f"[{deep(1000)}]",
        f"[[{' . '.join(['a'] * 100)}]]",
        f"x = {{{deep(100)} = 1}}",
        '"a"' + ".'b'" * 100 + " = 1",
        f'x = "\\""\n{deep(100)} = "y"',
        "".join(f"[{number}.a.b.c]\n" for number in range(MAX_DOTS // 3 + 1)),
    ],
)
def test_keys_of_many_names(text: str) -> None:
    """A key of so many names that it would take long is nested too deeply."""
    with pytest.raises(RecursionError):
        loads(text)


@pytest.mark.parametrize("base", ["0xf", "0o7", "0b1"])
def test_long_integers(base: str) -> None:
    """An integer that Python reads, and cannot write, is refused."""
    with pytest.raises(ValueError, match="too many digits"):
        loads(f"x = {base}{base[-1] * 3000}")


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text(text: str) -> None:
    """Any text of few names is read as tomli reads it, or refused as there."""
    try:
        expected = tomli.loads(text)
    except tomli.TOMLDecodeError:
        with pytest.raises(tomli.TOMLDecodeError):
            loads(text)
    else:
        assert expected == loads(text)
