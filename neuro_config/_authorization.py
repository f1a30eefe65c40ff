"""One authorization request and its answer: code grant, PKCE S256 and ``state``.

Rules (RFC 6749, 7636, 8252, 9207, 9700):

* ``code_verifier`` and ``state`` are random and belong to one login.
* What does not carry this login's ``state`` is no answer to it, and is passed over.
* A code goes only to the token endpoint of the server that issued it.
"""

from __future__ import annotations

import hmac
from typing import Dict, List, Mapping, Optional
from urllib.parse import parse_qs

import attr
from oauthlib.common import generate_token
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from oauthlib.oauth2.rfc6749 import parameters

from ._errors import (
    AuthError,
    InsecureURLError,
    InvalidCodeError,
    LoginDeniedError,
)
from ._guard import is_same_origin, is_token, require_secure, shown, without, words
from ._session import AuthConfig, Secret

SCOPE = "offline_access"  # which brings a refresh token

# RFC 6749, 4.1.2.1: the server's own trouble, which may pass.
_PASSING = ("server_error", "temporarily_unavailable")


@attr.frozen
class AuthorizationRequest:
    """What one login asks the authorization server.

    Args:
        auth: Names the server and the client.
        redirect_uri: Where the answer goes.
        state: Tells this login's answer from all others.
        code_verifier: Proves at the token endpoint who asked.
    """

    auth: AuthConfig
    redirect_uri: str
    state: str = attr.field(
        factory=lambda: Secret(generate_token(43)), converter=Secret
    )
    code_verifier: str = attr.field(
        factory=lambda: Secret(WebApplicationClient("").create_code_verifier(64)),
        converter=Secret,
    )

    @property
    def authorization_url(self) -> str:
        """Where the user logs in.

        Raises:
            InsecureURLError: The platform names plain http on another machine, or
                what is no URL.
        """
        auth_url, challenge = self.auth.auth_url, WebApplicationClient("")
        require_secure(auth_url)
        scheme, _, rest = auth_url.partition("://")
        # oauthlib knows no loopback and takes https only, hence the detour.
        asked = parameters.prepare_grant_uri(
            f"https://{rest}",
            self.auth.client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=SCOPE,
            state=str(self.state),
            code_challenge=challenge.create_code_challenge(self.code_verifier, "S256"),
            code_challenge_method="S256",
            audience=self.auth.audience,
        )
        return f"{scheme}://{asked.partition('://')[2]}"

    def is_answer(self, query: str) -> bool:
        """Tell whether a redirect's query answers this very request."""
        fields = _fields(query)
        states = fields.get("state", [])
        results = fields.get("code", []) + fields.get("error", [])
        return (
            len(states) == len(results) == 1
            and hmac.compare_digest(
                states[0].encode(errors="replace"), self.state.encode()
            )
            and bool(results[0])
        )

    def token_request(self, query: str) -> Mapping[str, str]:
        """Read the answer.

        Args:
            query: Of the redirect; ``is_answer`` holds.

        Returns:
            The fields to send to the token endpoint.

        Raises:
            LoginDeniedError: The user cancelled, or may not log in.
            AuthError: The server says that something else is wrong.
            InsecureURLError: Another server than that of the token endpoint answers.
            InvalidCodeError: The code is not of visible ASCII.
        """
        query = Secret(query)
        try:
            # The query is all that counts of the URL; see above about https.
            answer = parameters.parse_authorization_code_response(
                f"https://localhost/?{query}", str(self.state)
            )
        except OAuth2Error as error:
            failure = self._refusal(error.error or "", error.description)
        else:
            code, issuer = Secret(answer["code"]), answer.get("iss")
            del answer  # no traceback shows it
            self._require_issuer(issuer)
            if not (code.isascii() and code.isprintable()):  # RFC 6749, A.11
                raise InvalidCodeError(
                    "The authorization server sent what is no code. Log in again."
                )
            return self._fields_of(code)
        raise failure

    def token_request_of_pasted(self, text: str) -> Mapping[str, str]:
        """Read what somebody pasted: the code, or the whole URL that they came to.

        Args:
            text: White space around it is ignored.

        Returns:
            As ``token_request``.

        Raises:
            InvalidCodeError: It is neither, or a URL of another login.
            AuthError: As ``token_request``.
        """
        text = Secret("".join(text.split())) if isinstance(text, str) else Secret()
        if "://" not in text and "code=" not in text and "error=" not in text:
            if not is_token(text):
                raise InvalidCodeError(
                    "No code was given: log in again and give the code that the page "
                    "shows, or the whole URL of that page."
                )
            return self._fields_of(text)
        query = Secret(text.partition("#")[0].partition("?")[2] or text)
        if not self.is_answer(query):
            raise InvalidCodeError(
                "The URL does not belong to this login: it lacks a code, or is of an "
                "earlier try. Log in again, and give the URL of the page that the "
                "browser shows then."
            )
        return self.token_request(query)

    def _fields_of(self, code: str) -> Dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "code": Secret(code),
            "code_verifier": self.code_verifier,
            "client_id": self.auth.client_id,
            "redirect_uri": self.redirect_uri,
        }

    def _refusal(self, code: str, description: Optional[str]) -> AuthError:
        secrets = (self.state, self.code_verifier)
        said = words(without(description or "", *secrets))
        if code == "access_denied":
            return LoginDeniedError(code, said)
        if code in _PASSING:
            said = "; ".join(filter(None, [said, "try again later"]))
        return AuthError(words(without(code, *secrets)), said)

    def _require_issuer(self, issuer: Optional[str]) -> None:
        # RFC 9207. A server that does not say who it is cannot be held to it, and its
        # metadata, which would name it exactly, is not always there.
        if issuer is not None and not is_same_origin(issuer, self.auth.token_url):
            raise InsecureURLError(
                shown(issuer),
                "answers the login, and is not the server at which the platform has "
                f"codes redeemed ({shown(self.auth.token_url)}). The code was not sent "
                "there. Check the platform's URL.",
            )


def _fields(query: str) -> Dict[str, List[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
