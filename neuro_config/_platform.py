"""The platform's two endpoints: ``GET /config`` and the token endpoint.

Reading the configuration is repeated on 502, 503, 504 and broken connections; what is
sent to the token endpoint is sent once at most. ``AuthError`` says that the
authorization server refused.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Tuple

import requests
from urllib3.util import parse_url

from ._deadline import Deadline
from ._errors import (
    AuthError,
    CodeRefusedError,
    MalformedAnswerError,
    PlatformError,
    SessionEndedError,
    bare,
)
from ._facts import INVALID_GRANT
from ._guard import (
    QUOTED,
    TOKEN_LIMIT,
    bearer,
    blotted,
    is_same_origin,
    require_secure,
    require_usable,
    shown,
    without,
    words,
)
from ._http import Http
from ._session import AuthConfig, Secret, SecretBytes

if TYPE_CHECKING:
    from ._cluster_line import Known
    from ._payload import ServerConfig

METADATA = "/.well-known/openid-configuration"
CONFIG_LIMIT = 1 << 26  # bytes; 200 clusters x 60 presets are 4.5 MB

# Where the server says that it did not do what was asked, whatever the body says.
_REFUSALS = range(300, 500)
_REQUEST_TIMEOUT = 408

_GRANT = re.compile(r"_token\W{0,3}\s*[:=]")
_UNSAID = "it does not say why"

# Of a form; what the server says about it may repeat them.
_SECRETS = ("refresh_token", "code", "code_verifier")


class PlatformClient:
    """Asks the platform and its authorization server.

    Args:
        http: See ``Http``.
    """

    def __init__(self, http: Optional[requests.Session] = None) -> None:
        self._http = Http(http)

    def get_config(
        self,
        api_url: str,
        token: Optional[str],
        deadline: Deadline,
        *,
        known: Optional[Known] = None,
    ) -> ServerConfig:
        """Ask the platform what there is.

        Args:
            api_url: The platform, ``https://.../api/v1``.
            token: Whose view; without one only the login's parameters come back.
            deadline: Of the whole call.
            known: As ``parse_config``.

        Returns:
            The answer, which may say ``authorized: false``.

        Raises:
            InvalidTokenError: No header can carry the token; nothing was sent.
            NetworkError: One of its branches, all within the deadline.
        """
        # A refresh needs none of it: it would load all values, and yarl.
        from ._payload import parse_config

        url = api_url.rstrip("/") + "/config"
        authorization = None if token is None else bearer(token)
        status, body = self._http.request(
            "GET", url, deadline, CONFIG_LIMIT, authorization=authorization
        )
        url = shown(url)
        with contextlib.suppress(PlatformError):
            return parse_config(body, url=url, status=status, known=known)
        # Once more for the error: it quotes the body, which may repeat the token.
        said = SecretBytes(blotted(body.decode(errors="replace"), token or "").encode())
        try:
            return parse_config(said, url=url, status=status)
        except PlatformError as error:
            failure = _hushed(error, token or "")
        raise failure

    def refresh(
        self, auth: AuthConfig, refresh_token: str, deadline: Deadline
    ) -> Mapping[str, Any]:
        """Spend a refresh token (RFC 6749, 6).

        Args:
            auth: Names the endpoint and the client.
            refresh_token: Is spent, unless ``ConnectionFailedError`` or ``AuthError``
                says otherwise.
            deadline: Of the whole call.

        Returns:
            As ``ask_for_token``.

        Raises:
            As ``ask_for_token``.
        """
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": auth.client_id,
        }
        return self.ask_for_token(auth.token_url, fields, deadline)

    def redeem(
        self, auth: AuthConfig, fields: Mapping[str, str], deadline: Deadline
    ) -> Mapping[str, Any]:
        """Spend the code of a login (RFC 6749, 4.1.3).

        Args:
            auth: Names the endpoint.
            fields: Of the form.
            deadline: Of the whole call.

        Returns:
            As ``ask_for_token``.

        Raises:
            CodeRefusedError: The server does not accept the code.
            AuthError, NetworkError: As ``ask_for_token``.
        """
        try:
            return self.ask_for_token(auth.token_url, fields, deadline)
        except SessionEndedError as error:
            # OAuth has one word for dead codes and dead refresh tokens.
            refused = CodeRefusedError(error.code, error.description)
        raise refused

    def revoke(self, auth: AuthConfig, refresh_token: str, deadline: Deadline) -> None:
        """Have a refresh token revoked (RFC 7009), where the server says how.

        Args:
            auth: Names the server and the client.
            refresh_token: Must not be used again.
            deadline: Of the whole call.

        Raises:
            AuthError: The server refuses.
            NetworkError: It cannot be asked.
        """
        endpoint = self._revocation_endpoint(auth.token_url, deadline)
        if endpoint is None:
            return
        fields = {
            "token": refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": auth.client_id,
        }
        status, body = self._http.request(
            "POST", endpoint, deadline, TOKEN_LIMIT, fields=fields
        )
        if status != 200:
            raise AuthError(f"http_{status}", _said(body, [refresh_token]))

    def _revocation_endpoint(self, token_url: str, deadline: Deadline) -> Optional[str]:
        """Look for the server's metadata (OpenID Connect Discovery 1.0, 4)."""
        # The platform does not name the issuer: it is the token endpoint's URL less
        # some of the end of its path. The metadata proves which.
        require_secure(token_url)
        parts = parse_url(token_url)
        path = ""
        for piece in (parts.path or "/").split("/")[:-1]:
            path = f"{path}/{piece}" if piece else path
            place = parts._replace(path=path + METADATA, query=None, fragment=None)
            metadata = self._metadata(place.url, deadline)
            if metadata.get("token_endpoint") == token_url:
                endpoint = metadata.get("revocation_endpoint")
                # A token goes to no other host.
                if isinstance(endpoint, str) and is_same_origin(endpoint, token_url):
                    return endpoint
                return None
        return None

    def _metadata(self, url: str, deadline: Deadline) -> Mapping[str, Any]:
        try:
            status, body = self._http.request("GET", url, deadline, TOKEN_LIMIT)
        except MalformedAnswerError:  # too long: somebody's page
            return {}
        return (_object_in(body) if status == 200 else None) or {}

    def ask_for_token(
        self, url: str, fields: Mapping[str, str], deadline: Deadline
    ) -> Mapping[str, Any]:
        """Send a grant to the token endpoint, once at most.

        Args:
            url: The endpoint.
            fields: Of the form.
            deadline: Of the whole call.

        Returns:
            The answer; its ``access_token`` is a usable string, and ``refresh_token``
            is one or absent.

        Raises:
            ConnectionFailedError: Nothing was sent, and nothing will be.
            InsecureURLError: The same, because of the URL.
            AuthError: The server refused; ``SessionEndedError`` for ``invalid_grant``.
            NetworkError: The grant may have been spent, and the answer is not known.
        """
        status, body = self._http.request(
            "POST", url, deadline, TOKEN_LIMIT, fields=fields
        )
        secrets = [fields[name] for name in _SECRETS if name in fields]
        return parse_token_answer(url, status, body, secrets)


def parse_token_answer(
    url: str, status: int, body: bytes, secrets: Iterable[str] = ()
) -> Dict[str, Any]:
    """Read the token endpoint's answer (RFC 6749, 5.1 and 5.2).

    Args:
        url: Who answered.
        status: HTTP status.
        body: At most 256 KiB.
        secrets: What was sent; an error does not repeat it.

    Returns:
        The fields, ``access_token`` proven usable, ``refresh_token`` usable or absent.

    Raises:
        AuthError: A refusal, by OAuth's words or by the HTTP status.
        PlatformError: Anything else; the request may have been worked on.
    """
    try:
        return _parsed(shown(url), status, body, secrets)
    except (AuthError, PlatformError) as error:
        failure = bare(error)  # its frames know what the server said
    raise failure


def _parsed(
    url: str, status: int, body: bytes, secrets: Iterable[str]
) -> Dict[str, Any]:
    answer = _object_in(body)
    if status in _REFUSALS and status != _REQUEST_TIMEOUT:
        raise _refusal(status, answer or {}, body, secrets)
    if status != 200:
        said = _said(body, secrets)
        raise PlatformError(url, f"answered {status}: {said}. Try again later.", status)
    if answer is None:
        raise MalformedAnswerError(url, "is no JSON object.", status=status)
    require_usable(answer.get("access_token"), url, "access_token")
    if answer.get("refresh_token") in (None, ""):
        answer.pop("refresh_token", None)
    else:
        require_usable(answer["refresh_token"], url, "refresh_token")
    return answer


def _object_in(body: bytes) -> Optional[Dict[str, Any]]:
    try:
        found = json.loads(body, object_pairs_hook=_hidden)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _hidden(fields: List[Tuple[str, Any]]) -> Dict[str, Any]:
    # All but a few are tokens, and no traceback shows them.
    return {
        name: Secret(value) if isinstance(value, str) else value
        for name, value in fields
    }


def _refusal(
    status: int, fields: Mapping[str, object], body: bytes, secrets: Iterable[str]
) -> AuthError:
    code = fields.get("error")
    said = fields.get("error_description")
    description = words(without(said, *secrets)) if isinstance(said, str) else ""
    if code == INVALID_GRANT:
        return SessionEndedError(INVALID_GRANT, description)
    if isinstance(code, str) and code:
        return AuthError(words(without(code, *secrets)), description)
    said = description or _said(body, secrets)
    return AuthError(f"http_{status}", f"{said}; try again later, or log in again")


def _hushed(error: PlatformError, secret: str) -> PlatformError:
    reason = without(error.reason, secret)
    if isinstance(error, MalformedAnswerError):
        where = without(error.where, secret)
        return MalformedAnswerError(error.url, reason, where, error.status)
    return PlatformError(error.url, reason, error.status)


def _said(body: bytes, secrets: Iterable[str]) -> str:
    text = body[:QUOTED].decode(errors="replace")
    if _GRANT.search(text):  # new tokens, whatever the status says
        return _UNSAID
    return words(without(text, *secrets)).strip() or _UNSAID
