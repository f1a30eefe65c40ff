"""The store's token as an ``auth`` for requests, sent to the platform's hosts only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests.auth

from ._cluster_line import origin_of
from ._errors import InsecureURLError
from ._guard import bearer, require_secure, shown

if TYPE_CHECKING:
    import requests

    from ._store import ConfigStore


class TokenAuth(requests.auth.AuthBase):
    """Puts a valid token on each request, refreshing it when needed.

    Args:
        store: Whose token.
    """

    def __init__(self, store: ConfigStore) -> None:
        self._store = store

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authorize a request.

        Raises:
            InsecureURLError: It does not go to the platform of this login.
            ConfigError: There is no valid token.
        """
        url = request.url or ""
        require_secure(url)
        while True:
            binding = self._store._binding
            if origin_of(url) not in self._store._origins():
                raise InsecureURLError(
                    shown(url),
                    "is not a host of the platform that you are logged in to, so the "
                    "token is not sent there. Use a session without store.auth for it.",
                )
            token = self._store.token()
            # Another thread may have logged in elsewhere between the two.
            if self._store._binding is binding:
                request.headers["Authorization"] = bearer(token)
                return request
