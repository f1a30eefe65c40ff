"""What an error may show of what somebody says."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from neuro_config._guard import without

SPOKEN = "Ab1/Cd2+Ef3=Gh4-Ij5~Kl6"


@pytest.mark.parametrize(
    "writing",
    [
        base64.b64encode(f"me:{SPOKEN}".encode()).decode(),
        SPOKEN.encode().hex(),
        quote(quote(SPOKEN, safe=""), safe=""),
        quote(SPOKEN).lower(),
        "".join(f"&#{ord(letter)};" for letter in SPOKEN),
        "".join(f"\\u{ord(letter):04x}" for letter in SPOKEN),
        "".join(f"\\x{ord(letter):02x}" for letter in SPOKEN),
        "\\n".join(SPOKEN),
        " ".join(SPOKEN),
        f"{SPOKEN[:12]}...",
    ],
)
def test_other_writings(writing: str) -> None:
    """Of a text that tells a secret in another writing nothing is shown."""
    assert "***" == without(f"the token {writing} is none", "other", SPOKEN)


def test_what_is_no_secret() -> None:
    """What has no more than a few letters of a secret is shown, the rest blotted out."""
    said = f"Ab1/Cd is not {SPOKEN}, try another"
    assert "Ab1/Cd is not ***, try another" == without(said, SPOKEN)
    assert "a " * 2048 == without("a " * 9999, SPOKEN, "")
