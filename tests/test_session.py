"""The session's TOML form."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Dict

import attrs
import pytest
import tomli_w
from hypothesis import given, strategies as st

from neuro_config import (
    AuthConfig,
    Choice,
    RefreshFailure,
    RefreshMark,
    Session,
    Token,
)
from neuro_config._session import (
    SCHEMA,
    NewerSchema,
    Unreadable,
    decode,
    encode,
    hash_of,
)

DIGEST = "0123456789abcdef" * 4

texts = st.text(st.characters(codec="utf-8"), max_size=30)
times = st.floats(0, 1e12, allow_nan=False)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


sessions = st.builds(
    Session,
    login_id=texts,
    username=texts,
    api_url=texts,
    catalog=st.just(DIGEST),
    token=st.builds(
        Token,
        access_token=texts,
        obtained_at=times,
        expires_at=optional(times),
        refresh_token=optional(texts),
    ),
    choice=st.builds(
        Choice,
        cluster_name=optional(texts),
        org_name=optional(texts),
        project_name=optional(texts),
    ),
    auth=optional(
        st.builds(
            AuthConfig,
            auth_url=texts,
            token_url=texts,
            client_id=texts,
            audience=optional(texts),
            logout_url=optional(texts),
            callback_urls=st.lists(texts, max_size=3).map(tuple),
            headless_callback_url=optional(texts),
            success_redirect_url=optional(texts),
        )
    ),
    refresh_sent=optional(
        st.builds(
            RefreshMark,
            token_hash=texts,
            sent_at=times,
            attempts=st.integers(0, 2**62),
        )
    ),
    refresh_failure=optional(
        st.builds(
            RefreshFailure,
            failed_at=times,
            count=st.integers(0, 2**62),
            no_early_refresh_before=times,
            reason=texts,
        )
    ),
)


def table(**changes: Any) -> Dict[str, Any]:
    whole = {
        "schema": SCHEMA,
        "login_id": "l",
        "username": "alice",
        "api_url": "https://api.example/api/v1",
        "catalog": DIGEST,
        "token": {"access_token": "a", "obtained_at": 1.0},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


@given(sessions)
def test_round_trip(session: Session) -> None:
    """What is written is read back equal, whatever the values."""
    assert session == decode(encode(session))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give a session or one of two typed errors."""
    with contextlib.suppress(Unreadable, NewerSchema):
        assert isinstance(decode(data), Session)


@given(sessions, st.data())
def test_any_damage(session: Session, data: st.DataObject) -> None:
    """A file with one byte changed gives a session or a typed error."""
    whole = bytearray(encode(session))
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Unreadable, NewerSchema):
        assert isinstance(decode(bytes(whole)), Session)


def test_older_schema() -> None:
    """In an older file, what it lacks takes its default."""
    expected = Session(
        login_id="l",
        username="alice",
        api_url="https://api.example/api/v1",
        catalog=DIGEST,
        token=Token("a", 1.0),
    )
    assert expected == decode(tomli_w.dumps(table(schema=SCHEMA - 1)).encode())


def test_newer_schema() -> None:
    """A file of a newer version is refused in words that say so."""
    with pytest.raises(NewerSchema, match=f"schema {SCHEMA + 1}.*up to {SCHEMA}"):
        decode(tomli_w.dumps(table(schema=SCHEMA + 1, token=None)).encode())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": None}, "schema is missing"),
        ({"schema": True}, "schema is missing or is no int"),
        ({"login_id": 1}, "login_id is missing or is no str"),
        ({"catalog": "../../etc/passwd"}, "catalog is no SHA-256"),
        ({"catalog": "../" + "a" * 61}, "catalog is no SHA-256"),
        ({"token": []}, "token is missing or is no dict"),
        ({"token": {"access_token": "a"}}, "obtained_at is missing"),
        ({"token": {"access_token": "a", "obtained_at": True}}, "obtained_at"),
        ({"token": {"access_token": "a", "obtained_at": math.nan}}, "obtained_at"),
        ({"token": {"access_token": "a", "obtained_at": -1}}, "obtained_at"),
        ({"auth": {"auth_url": "a"}}, "callback_urls is missing"),
        ({"auth": {"callback_urls": [1]}}, "callback_urls is not a list of strings"),
        ({"refresh_sent": {"token_hash": "a", "sent_at": 1}}, "attempts is missing"),
        (
            {"refresh_sent": {"token_hash": "a", "sent_at": 1, "attempts": -1}},
            "attempts is out of range",
        ),
        (
            {
                "refresh_failure": {
                    "failed_at": 1,
                    "count": 2**63,
                    "no_early_refresh_before": 1,
                    "reason": "",
                }
            },
            "count is out of range",
        ),
        ({"schema": 2**63}, "schema is out of range"),
    ],
)
def test_wrong_field(changes: Dict[str, Any], words: str) -> None:
    """A field that is missing or of another type is named."""
    with pytest.raises(Unreadable, match=words):
        decode(tomli_w.dumps(table(**changes)).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"schema = 1\xff", "not UTF-8 at byte 10"),
        (b"schema = 'secret", "not TOML: at end of document"),
        (b"schema = secret", "not TOML: at line 1, column 10"),
        (b"schema = " + b"[" * 5000, "not TOML"),
        (b"schema = " + b"9" * 5000, "not TOML|schema"),
        (b"schema = 0x" + b"f" * 5000, "not TOML: a number is too long"),
        (b"schema" + b".a" * 100 + b" = 1", "not TOML: nested too deeply"),
    ],
)
def test_no_toml(data: bytes, words: str) -> None:
    """What is no TOML gives the place and none of the text."""
    with pytest.raises(Unreadable, match=words) as caught:
        decode(data)
    assert "secret" not in str(caught.value)


def test_no_secret_in_repr() -> None:
    """No repr shows a token, and that there is none can be seen."""
    session = decode(tomli_w.dumps(table()).encode())
    token = Token("s3cret-a", 1.0, None, "s3cret-r")
    assert "s3cret" not in repr(attrs.evolve(session, token=token))
    assert "refresh_token=None" in repr(session)


def test_hash() -> None:
    """A mark names a refresh token by its SHA-256."""
    assert (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        == hash_of("abc")
    )
