"""One authorization request: what is asked, which answer counts, what it says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import Dict
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import pytest
from hypothesis import given, strategies as st

from neuro_config import (
    AuthConfig,
    AuthError,
    ConfigError,
    InsecureURLError,
    InvalidCodeError,
    LoginDeniedError,
)
from neuro_config._authorization import AuthorizationRequest

AUTH = AuthConfig(
    auth_url="https://auth.example/authorize",
    token_url="https://auth.example/oauth/token",
    client_id="the client",
    audience="https://platform.example",
)
REDIRECT = "http://127.0.0.1:54540"


def request_of(auth: AuthConfig = AUTH) -> AuthorizationRequest:
    return AuthorizationRequest(auth, REDIRECT)


def query_of(request: AuthorizationRequest, **fields: str) -> str:
    return urlencode({"state": str(request.state), **fields})


def test_the_url() -> None:
    """The user is sent to the server with PKCE S256, a state, and what else OAuth asks."""
    request = request_of()
    parts = urlsplit(request.authorization_url)
    digest = hashlib.sha256(request.code_verifier.encode()).digest()
    expected = {
        "response_type": "code",
        "client_id": "the client",
        "redirect_uri": REDIRECT,
        "scope": "offline_access",
        "state": str(request.state),
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "audience": "https://platform.example",
    }
    assert expected == dict(parse_qsl(parts.query, strict_parsing=True))
    assert (
        "https://auth.example/authorize" == request.authorization_url.partition("?")[0]
    )
    assert str(request.code_verifier) not in request.authorization_url


def test_random() -> None:
    """State and verifier are long, within RFC 7636's letters, and never the same twice."""
    requests = [request_of() for _ in range(50)]
    for secrets in zip(*((one.state, one.code_verifier) for one in requests)):
        assert 50 == len(set(secrets))
        for secret in secrets:
            assert 43 <= len(secret) <= 128
            assert secret.replace("-", "").replace(".", "").isascii()
            assert not set(secret) - set(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
            )


def test_no_secret_is_shown() -> None:
    """The repr shows neither state nor verifier."""
    request = request_of()
    assert str(request.state) not in repr(request)
    assert str(request.code_verifier) not in repr(request)


@pytest.mark.parametrize(
    ("auth_url", "expected"),
    [
        ("http://127.0.0.1:8080/auth", "http://127.0.0.1:8080/auth?response_type="),
        ("https://auth.example", "https://auth.example?response_type="),
        (
            "https://auth.example/a?tenant=x",
            "https://auth.example/a?tenant=x&response_type=",
        ),
    ],
)
def test_the_servers_own_url(auth_url: str, expected: str) -> None:
    """The server's URL is kept: its scheme on loopback, its path and its query."""
    auth = AuthConfig(auth_url, AUTH.token_url, "client")
    assert request_of(auth).authorization_url.startswith(expected)
    assert "audience" not in request_of(auth).authorization_url


def test_plain_http() -> None:
    """Nobody is sent to log in over plain http on another machine."""
    auth = AuthConfig("http://auth.example/authorize", AUTH.token_url, "client")
    with pytest.raises(InsecureURLError, match=r"http://auth\.example/authorize"):
        _ = request_of(auth).authorization_url


@given(st.text(), st.text(), st.text())
def test_any_url(host: str, path: str, query: str) -> None:
    """Whatever the platform calls its login, there is a URL or one typed error."""
    auth = AuthConfig(f"https://{host}/{path}?{query}", AUTH.token_url, "client")
    with contextlib.suppress(InsecureURLError):
        assert REDIRECT in unquote(request_of(auth).authorization_url)


def test_the_grant() -> None:
    """The code goes to the token endpoint with the verifier and the same redirect."""
    request = request_of()
    query = query_of(request, code="a+b/c", iss="https://auth.example/")
    assert request.is_answer(query)
    expected = {
        "grant_type": "authorization_code",
        "code": "a+b/c",
        "code_verifier": str(request.code_verifier),
        "client_id": "the client",
        "redirect_uri": REDIRECT,
    }
    fields = request.token_request(query)
    assert expected == fields
    assert "a+b/c" not in repr(fields)
    assert str(request.code_verifier) not in repr(fields)


FOREIGN: Dict[str, str] = {
    "nothing": "",
    "no state": "code=x",
    "another state": "code=x&state=other",
    "an empty state": "code=x&state=",
    "a state twice": "code=x&state=STATE&state=STATE",
    "a code twice": "code=x&code=y&state=STATE",
    "a code and an error": "code=x&error=y&state=STATE",
    "neither code nor error": "state=STATE",
    "an empty code": "code=&state=STATE",
    "a part of the state": "code=x&state=STAT",
    "too many fields": "code=x&state=STATE" + "&x=y" * 100,
    "no text": "code=x&state=%ff%fe\udcff",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_answers(name: str) -> None:
    """What does not carry this login's state and one result is no answer."""
    request = AuthorizationRequest(AUTH, REDIRECT, state="STATE")
    assert request.is_answer("code=x&state=STATE&iss=https://auth.example")
    assert not request.is_answer(FOREIGN[name])


def test_denied() -> None:
    """A user who cancels gets an error of its own, with the server's words."""
    request = request_of()
    query = query_of(request, error="access_denied", error_description="No <b>way")
    with pytest.raises(LoginDeniedError) as caught:
        request.token_request(query)
    assert (
        "The login was cancelled, or is not allowed for this user (No <b>way). Log in "
        "again, perhaps as somebody else."
    ) == str(caught.value)
    bare = LoginDeniedError("access_denied")
    assert "this user. Log in again" in str(bare)


@pytest.mark.parametrize(
    ("error", "description", "expected"),
    [
        ("server_error", "", "server_error (try again later)"),
        ("server_error", "Oh no", "server_error (Oh no; try again later)"),
        ("temporarily_unavailable", "", "temporarily_unavailable (try again later)"),
        ("invalid_scope", "", "invalid_scope"),
        ("own words", "x\ny", "own words (x y)"),
        ("missing_code", "", "missing_code"),
    ],
)
def test_refusals(error: str, description: str, expected: str) -> None:
    """Every other error of the server's is told with its code and its words."""
    request = request_of()
    fields = {"error": error}
    if description:
        fields["error_description"] = description
    with pytest.raises(AuthError) as caught:
        request.token_request(query_of(request, **fields))
    assert f"The authorization server refuses: {expected}." == str(caught.value)
    assert AuthError is type(caught.value)


def test_a_refusal_that_repeats_secrets() -> None:
    """What the server repeats of this login's secrets is blotted out."""
    request = request_of()
    said = f"bad state {request.state} of {request.code_verifier}"
    query = query_of(request, error=str(request.state), error_description=said)
    with pytest.raises(AuthError) as caught:
        request.token_request(query)
    assert ("***", "bad state *** of ***") == (
        caught.value.code,
        caught.value.description,
    )


@pytest.mark.parametrize(
    "issuer",
    ["https://evil.example", "http://auth.example", "https://auth.example:1", "[", "http://x:y"],
)  # fmt: skip
def test_another_issuer(issuer: str) -> None:
    """A code that another server issued is not sent to this platform's."""
    request = request_of()
    with pytest.raises(InsecureURLError, match="was not sent") as caught:
        request.token_request(query_of(request, code="the-code", iss=issuer))
    assert "the-code" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["abc", " abc\n", "a b\r\nc", "abc=="], ids=["bare", "space", "torn", "="]
)
def test_a_pasted_code(text: str) -> None:
    """A bare code is taken, with the white space of a terminal."""
    expected = "".join(text.split())
    assert expected == request_of().token_request_of_pasted(text)["code"]


@pytest.mark.parametrize(
    "form",
    [
        "https://platform.example/show?{query}",
        "  https://platform.example/show?{query}\n",
        "https://platform.example/show?{query}#fragment",
        "https://platform.example/show?x=?&{query}",
        "?{query}",
        "{query}",
    ],
)
def test_a_pasted_url(form: str) -> None:
    """The whole URL of the last page, or its query, works as well as the code."""
    request = request_of()
    text = form.format(query=query_of(request, code="a/b"))
    assert "a/b" == request.token_request_of_pasted(text)["code"]


def test_a_pasted_refusal() -> None:
    """A pasted URL that says that the user cancelled is that error."""
    request = request_of()
    query = query_of(request, error="access_denied")
    with pytest.raises(LoginDeniedError):
        request.token_request_of_pasted(f"https://platform.example/show?{query}")


@pytest.mark.parametrize("code", ["\ud800", "ü", "a\x00b"])
def test_an_answer_without_a_code(code: str) -> None:
    """An answer whose code no form could carry is an error that holds nothing of it."""
    request = request_of()
    query = f"state={request.state}&code={code}"
    with pytest.raises(InvalidCodeError, match="what is no code") as caught:
        request.token_request(query)
    assert code not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "ü", "a\x00b", "x" * 1_000_000, None, 5])
def test_no_code(text: str) -> None:
    """What is no code is an error that says what to give."""
    with pytest.raises(InvalidCodeError, match="No code was given: log in again"):
        request_of().token_request_of_pasted(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://platform.example/show",
        "https://platform.example/show?code=canary",
        "https://platform.example/show?code=canary&state=old",
        "code=canary",
    ],
)
def test_a_url_of_another_login(text: str) -> None:
    """A pasted URL without this login's state is refused, and its code not shown."""
    with pytest.raises(InvalidCodeError, match="does not belong to this login") as it:
        request_of().token_request_of_pasted(text)
    assert "canary" not in str(it.value)


@given(st.text())
def test_any_query(text: str) -> None:
    """Any query is an answer or not, and any pasted text a grant or one typed error."""
    request = request_of()
    assert not request.is_answer(text)
    answer = f"{text}&{query_of(request, code='x')}"
    if request.is_answer(answer):
        with contextlib.suppress(ConfigError):
            assert "x" == request.token_request(answer)["code"]
    with contextlib.suppress(ConfigError):
        assert parse_qs(urlencode(request.token_request_of_pasted(text)))["code"]
