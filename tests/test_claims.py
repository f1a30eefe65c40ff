"""What a token says about itself, and any text instead of a token."""

from __future__ import annotations

import base64
import hmac
import json
import math
from typing import Any, Dict, Optional

import pytest
from hypothesis import given, strategies as st

from neuro_config._claims import STANDALONE_JWT, claims_of, expiry_of, username_of
from neuro_config._errors import InvalidTokenError

OLD_CLAIM = "https://platform.neuromation.io/user"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["identity", OLD_CLAIM, "exp", "iat", "nbf", "sub", "aud"])
    | st.text(),
    JSON,
)
HEADERS = st.just({"alg": "HS256", "typ": "JWT"}) | st.dictionaries(
    st.sampled_from(["alg", "typ", "b64", "crit", "kid"]), JSON
)


def part(value: object) -> str:
    data = json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims: object, header: object = None) -> str:
    """A JWT with a signature that nobody verifies."""
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    return f"{part(head)}.{part(claims)}.c2ln"


TOKENS = (
    st.builds(jwt, CLAIMS, HEADERS)
    | st.text()
    | st.text(alphabet="ey.-_A1=")
    | st.builds(jwt, JSON)
)


@pytest.mark.parametrize("name", ["identity", OLD_CLAIM])
def test_username(name: str) -> None:
    """The user's name is the claim of either age."""
    assert "alice" == username_of(jwt({name: "alice"}))


def test_the_newer_claim_wins() -> None:
    """Of both claims the newer counts."""
    assert "new" == username_of(jwt({OLD_CLAIM: "old", "identity": "new"}))


@pytest.mark.parametrize("unusable", ["", None, 5, ["alice"], "a\nb", "\ud800"])
def test_an_unusable_name_is_no_name(unusable: object) -> None:
    """A claim that is no printable text counts as absent."""
    assert "old" == username_of(jwt({"identity": unusable, OLD_CLAIM: "old"}))
    with pytest.raises(InvalidTokenError):
        username_of(jwt({"identity": unusable}))


def test_a_token_without_a_name_is_told_what_to_do() -> None:
    """The error says what is missing and what to do, and shows nothing of the token."""
    with pytest.raises(InvalidTokenError) as caught:
        username_of("secret-opaque-token")
    assert (
        "The token does not say whose it is: it is no JWT with the claim 'identity'. "
        "Check that it is the platform's access token."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        (1700000000, 1.7e9),
        (1700000000.5, 1700000000.5),
        (None, None),
        ("1700000000", None),
        (True, None),
        (-5, None),
        (0, None),
        (10**40, None),
        (math.nan, None),
        (math.inf, None),
    ],
)
def test_expiry(exp: object, expected: Optional[float]) -> None:
    """``exp`` is a time that a clock may show, or there is none."""
    assert expected == expiry_of(jwt({"exp": exp}))


def test_an_expired_token_can_be_read() -> None:
    """Reading verifies nothing: neither the times nor the signature."""
    claims: Dict[str, Any] = {"exp": 5, "nbf": 10**11, "iat": "?", "identity": "alice"}
    assert claims == claims_of(jwt(claims))


def test_the_token_for_anybody() -> None:
    """The token of platforms without authorization is signed with their known key."""
    head, claims, signature = STANDALONE_JWT.split(".")
    digest = hmac.new(b"neuro", f"{head}.{claims}".encode(), "sha256").digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == signature
    assert {"alg": "HS256", "typ": "JWT"} == json.loads(base64.b64decode(head))
    assert "user" == username_of(STANDALONE_JWT)


def test_deep_nesting() -> None:
    """A token that is nested too deeply has no claims."""
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 200000).decode()
    assert {} == claims_of(f"{part({'alg': 'HS256'})}.{deep}.c2ln")


@given(TOKENS)
def test_any_text(token: str) -> None:
    """Any text gives claims, a time and a name that can be stored, or the one error."""
    assert dict is type(claims_of(token))
    expiry = expiry_of(token)
    assert expiry is None or 0 < expiry < 1e12
    error = None
    try:
        assert username_of(token).encode()
    except InvalidTokenError as raised:
        error = raised
    assert error is None or len(token) < 8 or token not in f"{error} {error!r}"
