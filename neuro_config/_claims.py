"""What a JWT access token says about itself; it is the platform that verifies it."""

from __future__ import annotations

from typing import Any, Dict, Optional

import jwt

from ._errors import InvalidTokenError

# The older name is still sent by older platforms.
USERNAME_CLAIMS = ("identity", "https://platform.neuromation.io/user")


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
    exp = claims_of(token).get("exp")
    # The range leaves out NaN, true and what no clock shows.
    if isinstance(exp, (int, float)) and 1 < exp < 1e12:
        return float(exp)
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
