"""What a JWT access token says about itself; it is the platform that verifies it."""

from __future__ import annotations

import warnings
from typing import Any, Dict, Optional

import jwt

from ._errors import InvalidTokenError

# The older name is still sent by older platforms.
USERNAME_CLAIMS = ("identity", "https://platform.neuromation.io/user")

# A platform without authorization knows one user, by this name and this well-known key.
_STANDALONE_USER, _STANDALONE_KEY = "user", "neuro"


def standalone_token() -> str:
    """Make the token of a platform without authorization: the same for everybody."""
    claims = {USERNAME_CLAIMS[1]: _STANDALONE_USER}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the key is short, and no secret
        return jwt.encode(claims, _STANDALONE_KEY, algorithm="HS256")


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
