"""What a login stores, a session and its catalog, made of what somebody logs in with.

Nothing is stored here. The token is always held against the platform first, but for the
login of another tool, which is taken over as it is.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Optional

import attr

from ._catalog import Catalog, encode, in_memory
from ._choice import first_choice
from ._claims import STANDALONE_JWT, expiry_of, username_of
from ._deadline import Deadline
from ._errors import InvalidTokenError, TokenRefusedError
from ._guard import is_token, require_bare, shown
from ._local import StrPath
from ._payload import ServerConfig
from ._platform import PlatformClient
from ._refresh import token_from
from ._session import Choice, Session, Token

Choose = Callable[[Catalog], Choice]


@attr.frozen
class NewLogin:
    """A login that nobody has stored yet.

    Args:
        session: With a login id of its own.
        catalog: Its catalog, encoded.
    """

    session: Session
    catalog: bytes = attr.field(repr=False)


class NewLogins:
    """Makes logins.

    Args:
        client: Asks the platform.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, client: PlatformClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock

    def with_token(
        self,
        token: str,
        api_url: str,
        deadline: Deadline,
        choose: Choose = first_choice,
    ) -> NewLogin:
        """Log in with an access token alone.

        Raises:
            InvalidTokenError: It is no token, or does not say whose.
            TokenRefusedError: The platform does not accept it.
            NetworkError: The platform cannot be asked.
            UnknownNameError: What is chosen does not exist.
        """
        return self._accepted(self._bare(token), api_url, deadline, choose)

    def with_answer(
        self, answer: Mapping[str, Any], api_url: str, deadline: Deadline
    ) -> NewLogin:
        """Log in with what the token endpoint answered to a grant.

        Raises:
            ConfigError: As ``with_token``.
        """
        token = token_from(answer, self._clock())
        return self._accepted(token, api_url, deadline, first_choice)

    def with_passed_config(
        self, config_data: Optional[str], deadline: Deadline
    ) -> NewLogin:
        """Log in with what the platform passes into a job.

        Raises:
            PassedConfigError: There is none, or it is malformed.
            ConfigError: As ``with_token``.
        """
        from ._passed_config import decode

        passed = decode(config_data, os.environ)
        api_url = passed.url.rstrip("/")
        require_bare(api_url)
        return self.with_token(passed.token, api_url, deadline, passed.choose)

    def without_authorization(self, config: ServerConfig, api_url: str) -> NewLogin:
        """Log in to a platform that asks nobody who they are."""
        return _made(config, self._bare(STANDALONE_JWT), api_url, first_choice)

    def of_tool(self, path: Optional[StrPath], deadline: Deadline) -> NewLogin:
        """Take over the login of another tool.

        Raises:
            ImportLoginError: There is none, or it cannot be used.
        """
        from ._tool_login import read_tool_login

        found = read_tool_login(path, self._clock(), deadline)
        return _made(found.config, found.token, found.api_url, found.choose)

    def _bare(self, token: str) -> Token:
        if not is_token(token):
            raise InvalidTokenError(
                "The token is not usable: it must be visible ASCII without spaces or "
                "line ends. Check how it was read."
            )
        return Token(token, self._clock(), expiry_of(token))

    def _accepted(
        self, token: Token, api_url: str, deadline: Deadline, choose: Choose
    ) -> NewLogin:
        config = self._client.get_config(api_url, token.access_token, deadline)
        if not config.authorized:
            raise TokenRefusedError(shown(api_url), "check the token and the URL")
        if token.expires_at is not None and token.expires_at <= self._clock():
            # The platform takes it: so it is this clock that is wrong.
            token = attr.evolve(token, expires_at=None)
        return _made(config, token, api_url, choose)


def _made(config: ServerConfig, token: Token, api_url: str, choose: Choose) -> NewLogin:
    data = encode(config, api_url)
    catalog = in_memory(data)
    session = Session(
        login_id=os.urandom(16).hex(),
        username=username_of(token.access_token),
        api_url=api_url,
        token=token,
        catalog=catalog.digest,
        choice=choose(catalog),
        auth=config.auth,
    )
    return NewLogin(session, data)
