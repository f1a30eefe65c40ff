"""The authorization server: codes, refresh tokens, revocation, logout."""

from __future__ import annotations

import base64
import hashlib
import html.parser
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from neuro_config.testing import IDENTITY_CLAIMS, ExpiresIn, Platform

VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)
REDIRECT = "http://127.0.0.1:54540"


def ask(
    platform: Platform, http: requests.Session, **changes: Optional[str]
) -> requests.Response:
    """Ask for a code; a change of ``None`` leaves a parameter out."""
    query: Dict[str, Optional[str]] = {
        "response_type": "code",
        "client_id": "neuro-cli",
        "redirect_uri": REDIRECT,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "st&te=1 +%2F",
        **changes,
    }
    return http.get(
        f"{platform.url.origin()}/auth", params=query, allow_redirects=False
    )


def result(answer: requests.Response) -> Dict[str, str]:
    """Read the parameters that a redirect carries."""
    assert 302 == answer.status_code
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def code(platform: Platform, http: requests.Session, **changes: str) -> str:
    return result(ask(platform, http, **changes))["code"]


def post(
    platform: Platform, http: requests.Session, path: str = "/token", **form: Any
) -> Tuple[int, Dict[str, Any]]:
    data = {"client_id": "neuro-cli", **form}
    answer = http.post(str(platform.url.origin()) + path, data=data)
    return answer.status_code, answer.json() if answer.content else {}


def redeem(
    platform: Platform, http: requests.Session, found: str, **changes: Any
) -> Tuple[int, Dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "code": found,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **changes,
    }
    return post(platform, http, **form)


def refresh(
    platform: Platform, http: requests.Session, token: str
) -> Tuple[int, Dict[str, Any]]:
    return post(platform, http, grant_type="refresh_token", refresh_token=token)


def authorized(platform: Platform, http: requests.Session, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    answer = http.get(str(platform.url / "config"), headers=headers)
    return bool(answer.json()["authorized"])


# ------------------------------------------------------------------------- the code


def test_code_comes_back(platform: Platform, http: requests.Session) -> None:
    """The redirect has a path, the code, the state as it was, and the issuer."""
    answer = ask(platform, http)
    assert answer.headers["Location"].startswith(f"{REDIRECT}/?code=")
    found = result(answer)
    assert "st&te=1 +%2F" == found["state"]
    assert str(platform.url.origin()) == found["iss"]


def test_no_state(platform: Platform, http: requests.Session) -> None:
    """A request without a state gets none back."""
    assert "state" not in result(ask(platform, http, state=None))


@pytest.mark.parametrize("uri", [f"{REDIRECT}/", "http://127.0.0.1:54542", "HEADLESS"])
def test_registered_redirects(
    uri: str, platform: Platform, http: requests.Session
) -> None:
    """Codes go to the listed callbacks, with or without a slash, and to the page."""
    if uri == "HEADLESS":
        uri = f"{platform.url.origin()}/oauth/show-code"
    found = code(platform, http, redirect_uri=uri)
    assert 200 == redeem(platform, http, found, redirect_uri=uri)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "other"},
        {"client_id": None},
        {"redirect_uri": "http://127.0.0.1:1/"},
        {"redirect_uri": None},
    ],
)
def test_never_redirected(
    changes: Dict[str, Any], platform: Platform, http: requests.Session
) -> None:
    """An unknown client or address gets a page and no redirect."""
    assert 400 == ask(platform, http, **changes).status_code


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"audience": "other"}, "invalid_request"),
        ({"login_hint": "nobody"}, "access_denied"),
    ],
)
def test_redirected_errors(
    changes: Dict[str, Any], error: str, platform: Platform, http: requests.Session
) -> None:
    """Every other mistake is told to the client, with its state."""
    found = result(ask(platform, http, **changes))
    assert (error, "st&te=1 +%2F") == (found["error"], found["state"])


def test_first_tokens(platform: Platform, http: requests.Session) -> None:
    """A code gives a JWT that the platform accepts, and a refresh token."""
    status, answer = redeem(platform, http, code(platform, http))
    assert (200, "Bearer", 3600) == (status, answer["token_type"], answer["expires_in"])
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert ("alice", "alice") == (claims["identity"], claims["sub"])
    assert 3600 <= claims["exp"] - claims["iat"] <= 3601
    assert claims["jti"]
    assert authorized(platform, http, answer["access_token"])


def test_old_claim(http: requests.Session) -> None:
    """The user name can be in the claim that older tokens have."""
    with Platform(claim=IDENTITY_CLAIMS[1]) as platform:
        token = platform.authorize()["access_token"]
        assert authorized(platform, http, token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert ("alice", False) == (claims[IDENTITY_CLAIMS[1]], "identity" in claims)


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": None},
        {"redirect_uri": f"{REDIRECT}/"},
        {"redirect_uri": None},
    ],
)
def test_wrong_try_keeps_the_code(
    changes: Dict[str, Any], platform: Platform, http: requests.Session
) -> None:
    """A wrong verifier or address is refused, and the code can still be used."""
    found = code(platform, http)
    status, answer = redeem(platform, http, found, **changes)
    assert (400, "invalid_grant") == (status, answer["error"])
    assert 200 == redeem(platform, http, found)[0]


def test_second_use_of_a_code(platform: Platform, http: requests.Session) -> None:
    """The second use of a code is refused and revokes what the first one gave."""
    found = code(platform, http)
    first = redeem(platform, http, found)[1]
    status, answer = redeem(platform, http, found)
    assert (400, "invalid_grant") == (status, answer["error"])
    assert [False, True] == [r.reuse_detected for r in platform.requests[1:]]
    assert 400 == refresh(platform, http, first["refresh_token"])[0]


def test_unknown_code(platform: Platform, http: requests.Session) -> None:
    """An unknown code is an ``invalid_grant``."""
    assert "invalid_grant" == redeem(platform, http, "x")[1]["error"]


# ------------------------------------------------------------------- refresh tokens


def test_rotation(platform: Platform, http: requests.Session) -> None:
    """A refresh gives another access token and another refresh token."""
    first = platform.authorize()
    status, second = refresh(platform, http, first["refresh_token"])
    assert 200 == status
    for name in ("access_token", "refresh_token"):
        assert first[name] != second[name]
    assert authorized(platform, http, second["access_token"])


def test_reuse_revokes_the_grant(platform: Platform, http: requests.Session) -> None:
    """A spent refresh token is refused, and the newest one is dead too."""
    first = platform.authorize()
    other = platform.authorize()
    second = refresh(platform, http, first["refresh_token"])[1]
    status, answer = refresh(platform, http, first["refresh_token"])
    assert (400, "invalid_grant") == (status, answer["error"])
    assert 1 == platform.count("token", reuse_detected=True)
    assert 400 == refresh(platform, http, second["refresh_token"])[0]
    assert 1 == platform.count("token", reuse_detected=True)
    assert 200 == refresh(platform, http, other["refresh_token"])[0]


def test_parallel_refreshes(platform: Platform, http: requests.Session) -> None:
    """Of many refreshes with one token at once exactly one succeeds."""
    token = platform.authorize()["refresh_token"]

    def client(_: int) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return refresh(platform, session, token)[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(client, range(32)))
    assert [200] + [400] * 31 == statuses
    assert 31 == platform.count("token", reuse_detected=True)


def test_no_rotation(platform: Platform, http: requests.Session) -> None:
    """Without rotation a refresh token can be used again and again."""
    platform.tokens.rotate = False
    token = platform.authorize()["refresh_token"]
    for _ in range(3):
        status, answer = refresh(platform, http, token)
        assert (200, token) == (status, answer["refresh_token"])


def test_refresh_token_not_sent(platform: Platform, http: requests.Session) -> None:
    """An answer without a refresh token leaves the old one good, rotation or not."""
    platform.tokens.send_refresh_token = False
    token = platform.authorize()["refresh_token"]
    for _ in range(2):
        status, answer = refresh(platform, http, token)
        assert (200, False) == (status, "refresh_token" in answer)


def test_unknown_refresh_token(platform: Platform, http: requests.Session) -> None:
    """An unknown refresh token is an ``invalid_grant``."""
    assert "invalid_grant" == refresh(platform, http, "x")[1]["error"]


@pytest.mark.parametrize("value", [None, "3600", -1, 1.5, [], {"a": 1}])
def test_odd_expires_in(value: Any, platform: Platform) -> None:
    """``expires_in`` can be any JSON value."""
    platform.tokens.expires_in = value
    assert value == platform.authorize()["expires_in"]


def test_no_expires_in(platform: Platform) -> None:
    """``expires_in`` can be missing."""
    platform.tokens.expires_in = ExpiresIn.MISSING
    assert "expires_in" not in platform.authorize()


def test_token_life(platform: Platform, http: requests.Session) -> None:
    """The life of tokens can be changed; a negative one makes them expired."""
    platform.tokens.life = -5
    answer = platform.authorize()
    assert -5 == answer["expires_in"]
    assert not authorized(platform, http, answer["access_token"])
    assert authorized(platform, http, platform.issue_access_token(life=60))


# ------------------------------------------------------------------- what is refused


def test_json_body_refused(platform: Platform, http: requests.Session) -> None:
    """The token endpoint takes a form and no JSON."""
    url = f"{platform.url.origin()}/token"
    answer = http.post(url, json={"grant_type": "refresh_token"})
    assert (400, "invalid_request") == (answer.status_code, answer.json()["error"])


def test_authorization_header_refused(
    platform: Platform, http: requests.Session
) -> None:
    """A public client sends no ``Authorization``; nothing is spent."""
    token = platform.authorize()["refresh_token"]
    http.headers["Authorization"] = "Bearer x"
    assert "invalid_request" == refresh(platform, http, token)[1]["error"]
    del http.headers["Authorization"]
    assert 200 == refresh(platform, http, token)[0]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": ["refresh_token"] * 2}, 400, "invalid_request"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_id": None}, 400, "invalid_request"),
    ],
)
def test_refused_forms(
    form: Dict[str, Any],
    status: int,
    error: str,
    platform: Platform,
    http: requests.Session,
) -> None:
    """A form that lacks something says what, in the words of OAuth2."""
    got, answer = post(platform, http, **form)
    assert (status, error) == (got, answer["error"])


def test_authorize_denied(platform: Platform) -> None:
    """``authorize`` says why it has no tokens."""
    with pytest.raises(RuntimeError, match="access_denied"):
        platform.authorize("nobody")
    with pytest.raises(requests.HTTPError):
        platform.authorize(redirect_uri="http://127.0.0.1:1/")
    platform.faults.token.answer(503)
    with pytest.raises(requests.HTTPError):
        platform.authorize()


# ----------------------------------------------------------- revocation and logout


def test_revoke_refresh_token(platform: Platform, http: requests.Session) -> None:
    """Revoking a refresh token ends its grant and no other."""
    first, other = platform.authorize(), platform.authorize()
    assert (200, {}) == post(platform, http, "/revoke", token=first["refresh_token"])
    assert 400 == refresh(platform, http, first["refresh_token"])[0]
    assert 200 == refresh(platform, http, other["refresh_token"])[0]
    assert 0 == platform.count(reuse_detected=True)


def test_revoke_access_token(platform: Platform, http: requests.Session) -> None:
    """A revoked access token is refused, and no other."""
    one, other = platform.issue_access_token(), platform.issue_access_token()
    assert 200 == post(platform, http, "/revoke", token=one)[0]
    assert (False, True) == (
        authorized(platform, http, one),
        authorized(platform, http, other),
    )


def test_revoke_unknown_token(platform: Platform, http: requests.Session) -> None:
    """An unknown token is as good as revoked; no token is a mistake."""
    assert 200 == post(platform, http, "/revoke", token="x")[0]
    assert 400 == post(platform, http, "/revoke")[0]
    assert 401 == post(platform, http, "/revoke", token="x", client_id="other")[0]


def test_revoke_all(platform: Platform, http: requests.Session) -> None:
    """``revoke_all`` ends all tokens and codes so far; new ones are good."""
    tokens = platform.authorize()
    found = code(platform, http)
    platform.revoke_all()
    assert not authorized(platform, http, tokens["access_token"])
    assert (
        "invalid_grant" == refresh(platform, http, tokens["refresh_token"])[1]["error"]
    )
    assert "invalid_grant" == redeem(platform, http, found)[1]["error"]
    assert 0 == platform.count(reuse_detected=True)
    assert 200 == refresh(platform, http, platform.authorize()["refresh_token"])[0]


def test_logout(platform: Platform, http: requests.Session) -> None:
    """Logging out shows a page, or leads back to a registered address only."""
    url = f"{platform.url.origin()}/session/end"
    assert 200 == http.get(url).status_code
    elsewhere = http.get(url, params={"returnTo": "http://127.0.0.1:1/"})
    assert "logged out" in elsewhere.text
    back = http.post(
        url, data={"post_logout_redirect_uri": REDIRECT}, allow_redirects=False
    )
    assert (302, f"{REDIRECT}/") == (back.status_code, back.headers["Location"])


def test_whose_requests(platform: Platform, http: requests.Session) -> None:
    """The log tells which client a query or a form names."""
    url = f"{platform.url.origin()}/session/end"
    http.get(url, params={"client_id": "of-the-query"})
    http.post(url, data={"client_id": "of-the-form"})
    http.get(url)
    clients = [record.client_id for record in platform.requests]
    assert ["of-the-query", "of-the-form", None] == clients
    assert 1 == platform.count("logout", client_id="of-the-form")


def test_discovery(platform: Platform, http: requests.Session) -> None:
    """The discovery document names endpoints that are there."""
    origin = str(platform.url.origin())
    body = http.get(f"{origin}/.well-known/openid-configuration").json()
    assert origin == body["issuer"]
    assert ["S256"] == body["code_challenge_methods_supported"]
    endpoints = [url for name, url in body.items() if name.endswith("_endpoint")]
    assert 4 == len(endpoints)
    assert 404 not in [http.get(url).status_code for url in endpoints]


# ------------------------------------------------------------------- pages for people


class Form(html.parser.HTMLParser):
    """Read the hidden fields and the buttons of the login page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hidden: Dict[str, str] = {}
        self.buttons: List[Tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        given = dict(attrs)
        if tag == "input":
            self.hidden[given["name"] or ""] = given["value"] or ""
        elif tag == "button":
            self.buttons.append((given["name"] or "", given["value"] or ""))


def test_login_form(http: requests.Session) -> None:
    """An interactive platform shows a form with a button per user, and one to cancel."""
    with Platform(user="o'neil", users=["<bob>"], interactive=True) as platform:
        page = ask(platform, http)
        form = Form(page.text)
        expected = [("login_hint", "<bob>"), ("login_hint", "o'neil"), ("deny", "1")]
        assert expected == form.buttons
        bob, _, deny = (
            result(ask(platform, http, **{**form.hidden, name: value}))
            for name, value in form.buttons
        )
        status, answer = redeem(platform, http, bob["code"])
    assert (200, "st&te=1 +%2F") == (status, bob["state"])
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert "<bob>" == claims["identity"]
    assert "access_denied" == deny["error"]


def test_show_code(platform: Platform, http: requests.Session) -> None:
    """The page of a headless login shows the code to copy."""
    answer = http.get(
        f"{platform.url.origin()}/oauth/show-code", params={"code": "<c>"}
    )
    assert "<code>&lt;c&gt;</code>" in answer.text
