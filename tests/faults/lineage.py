"""Which token came of which: kept by the authorization server, for judges of histories."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Dict, List, Mapping, Optional, Tuple

from race_spec import Login

from neuro_config import Session
from neuro_config._facts import is_over, is_spent
from neuro_config.testing import Platform

Label = Tuple[int, int]


def digest(token: str) -> str:
    """Name a token without saying it."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def told(session: Optional[Session]) -> Optional[Dict[str, Any]]:
    """Tell of a login what may be told."""
    if session is None:
        return None
    return {
        "token": digest(session.token.access_token),
        "obtained_at": session.token.obtained_at,
        "choice": [
            session.choice.cluster_name,
            session.choice.org_name,
            session.choice.project_name,
        ],
        "spent": is_spent(session),
        "over": is_over(session),
    }


class Lineage:
    """Every token of a platform, by its grant and its number in it.

    Args:
        platform: Whose authorization server is watched from now on.
        start: Time 0, seconds since the epoch.
        life: Of a token, in seconds.
    """

    def __init__(self, platform: Platform, start: float, life: float) -> None:
        self._start = start
        self._life = life
        self._labels: Dict[str, Label] = {}
        self._newest: List[int] = []
        self._of_refresh: Dict[str, Label] = {}
        self._server = platform._token_server
        refresh = self._server.refresh

        def watched(refresh_token: str) -> Dict[str, Any]:
            answer = refresh(refresh_token)
            grant, number = self._of_refresh[refresh_token]
            self._add(answer, (grant, number + 1))
            return answer

        self._server.refresh = watched  # type: ignore[method-assign]

    def begin(self, user: str) -> Tuple[int, Dict[str, Any]]:
        """Begin a grant: return its number, and what the token endpoint answers."""
        verifier = "v" * 43
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        code = self._server.new_code(user, "", challenge.rstrip(b"=").decode())
        answer = self._server.redeem_code(code, "", verifier)
        self._newest.append(0)
        self._add(answer, (len(self._newest) - 1, 0))
        return len(self._newest) - 1, answer

    def newest(self, grant: int) -> int:
        """Return the number of the newest token of a grant."""
        return self._newest[grant]

    def label(self, token_digest: Optional[str]) -> Optional[Label]:
        """Return which token that is; one that nobody has issued is an error."""
        return None if token_digest is None else self._labels[token_digest]

    def login(self, session: Optional[Session]) -> Optional[Login]:
        """Tell in the specification's words what is stored."""
        return self.login_told(told(session))

    def login_told(self, found: Optional[Mapping[str, Any]]) -> Optional[Login]:
        """Tell in the specification's words what was told of a session."""
        if found is None:
            return None
        cluster, org, project = found["choice"]
        age = found["obtained_at"] - self._start
        return Login(
            *self._labels[found["token"]],
            round(age / self._life * 100),
            (cluster, org, project),
            spent=found["spent"],
            over=found["over"],
        )

    def _add(self, answer: Mapping[str, Any], label: Label) -> None:
        self._labels[digest(answer["access_token"])] = label
        self._of_refresh[answer["refresh_token"]] = label
        self._newest[label[0]] = max(self._newest[label[0]], label[1])
