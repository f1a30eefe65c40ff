"""What a JWT access token says about itself; it is the platform that verifies it."""

from __future__ import annotations

from typing import Any, Dict, Optional

import jwt

from ._errors import InvalidTokenError

# The older name is still sent by older platforms.
USERNAME_CLAIMS = ("identity", "https://platform.neuromation.io/user")

# What a platform without authorization expects of everybody: a JWT whose older claim
# names the user "user", signed (HS256) with the well-known key "neuro".
STANDALONE_JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJodHRwczovL3BsYXRmb3JtLm5ldXJvbWF0aW9uLmlvL3VzZXIiOiJ1c2VyIn0."
    "c9RLM3ZV-Nua7qchDkbHd11OaqA4kkEC49IB2A5ZAwE"
)


def claims_of(token: str) -> Dict[str, Any]:
    """Read a token's claims.

    Args:
        token: Any text.

    Returns:
        The claims, empty where the token is no JWT.
    """
    try:
        claims: Dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}


def expiry_of(token: str) -> Optional[float]:
    """Tell a token's ``exp``, seconds since the epoch; ``None`` where it has none."""
    return _time_of(token, "exp")


def issue_time_of(token: str) -> Optional[float]:
    """Tell a token's ``iat``, seconds since the epoch; ``None`` where it has none."""
    return _time_of(token, "iat")


def _time_of(token: str, claim: str) -> Optional[float]:
    value = claims_of(token).get(claim)
    # The range leaves out NaN, true and what no clock shows.
    if isinstance(value, (int, float)) and 1 < value < 1e12:
        return float(value)
    return None


def username_of(token: str) -> str:
    """Tell whose token it is.

    Raises:
        InvalidTokenError: It does not say.
    """
    claims = claims_of(token)
    for name in USERNAME_CLAIMS:
        username = claims.get(name)
        # Unprintable is also what no file can hold: half of a surrogate pair.
        if isinstance(username, str) and username and username.isprintable():
            return username
    raise InvalidTokenError(
        "The token does not say whose it is: it is no JWT with the claim "
        f"{USERNAME_CLAIMS[0]!r}. Check that it is the platform's access token."
    )
