"""Codes, refresh tokens and access tokens: what is given, spent and revoked.

A *grant* is what one login gave: its code and all refresh tokens that followed. Who
spends a code or a rotated refresh token twice loses the whole grant, as the servers
do that detect theft.

This is not built on ``oauthlib``'s server side: its validator asks for more methods
than there are rules here, answers a mismatching ``redirect_uri`` with
``invalid_request`` where RFC 6749 (5.2) says ``invalid_grant``, and would have to be
told that plain http is https.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import math
import secrets
import threading
import time
import uuid
from typing import Any, Dict, Optional, Set

import attr
import jwt

IDENTITY_CLAIMS = ("identity", "https://platform.neuromation.io/user")

SCOPE = "offline_access"


class ExpiresIn(enum.Enum):
    """Say what ``expires_in`` of the token answer is, where it is no value."""

    LIFE = "the life of the token"
    MISSING = "not there"


@attr.define(kw_only=True)
class TokenSettings:
    """Hold how tokens are made; change it while the platform runs.

    Reached as ``platform.tokens``.

    Args:
        life: Seconds that a new access token is valid; negative makes it expired.
        rotate: Whether a refresh spends its refresh token and gives another.
        send_refresh_token: Whether the answer of a refresh carries a refresh token;
            without one nothing rotates, and the old one stays good.
        expires_in: What the answer says instead of the life: any JSON value, or
            ``ExpiresIn.MISSING``.
        claim: Name of the claim that holds the user name, of ``IDENTITY_CLAIMS``.
    """

    life: float = 3600
    rotate: bool = True
    send_refresh_token: bool = True
    expires_in: Any = ExpiresIn.LIFE
    claim: str = "identity"


class GrantError(Exception):
    """The code or the refresh token is worth nothing.

    Args:
        description: Why.
        reuse_detected: Whether it had been spent, which revoked the grant.
    """

    def __init__(self, description: str, reuse_detected: bool = False) -> None:
        super().__init__(description)
        self.description = description
        self.reuse_detected = reuse_detected


@attr.define(eq=False)
class _Grant:
    user: str
    revoked: bool = False


@attr.define(eq=False)
class _Code:
    grant: _Grant
    redirect_uri: str
    challenge: str
    used: bool = False


@attr.define(eq=False)
class _RefreshToken:
    grant: _Grant
    spent: bool = False


class TokenServer:
    """Give, renew, check and revoke tokens; safe for threads."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._codes: Dict[str, _Code] = {}
        self._refresh_tokens: Dict[str, _RefreshToken] = {}
        self._revoked_ids: Set[str] = set()
        self._key = secrets.token_bytes(32)

    def access_token(self, user: str, life: Optional[float] = None) -> str:
        """Sign an access token for a user, known or not."""
        now = time.time()
        if life is None:
            life = self._settings.life
        claims = {
            self._settings.claim: user,
            "sub": user,
            "iat": int(now),
            # rounded up: a token must live for as long as ``expires_in`` says
            "exp": math.ceil(now + life),
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def user_of(self, access_token: str) -> Optional[str]:
        """Tell whose valid access token this is, or ``None``."""
        claims = self._claims(access_token)
        if claims is None or claims["jti"] in self._revoked_ids:
            return None
        names = (claims.get(name) for name in IDENTITY_CLAIMS)
        return next((name for name in names if isinstance(name, str)), None)

    def new_code(self, user: str, redirect_uri: str, challenge: str) -> str:
        """Start a grant and give the code that redeems it."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes[code] = _Code(_Grant(user), redirect_uri, challenge)
        return code

    def redeem_code(
        self, code: str, redirect_uri: Optional[str], verifier: str
    ) -> Dict[str, Any]:
        """Give the first tokens of a grant; a wrong try does not burn the code.

        Raises:
            GrantError: The code, the redirect URI or the verifier is wrong, or the
                code is used.
        """
        with self._lock:
            found = self._codes.get(code)
            if found is None:
                raise GrantError("unknown authorization code")
            if redirect_uri != found.redirect_uri:
                raise GrantError("redirect_uri is not that of the authorization")
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if challenge != found.challenge:
                raise GrantError("code_verifier does not match the code_challenge")
            if found.used:
                found.grant.revoked = True
                raise GrantError("authorization code is used", reuse_detected=True)
            if found.grant.revoked:
                raise GrantError("grant is revoked")
            found.used = True
            return self._answer(found.grant, self._new_refresh_token(found.grant))

    def refresh(self, refresh_token: str) -> Dict[str, Any]:
        """Give new tokens for a refresh token.

        Raises:
            GrantError: It is unknown, revoked or spent.
        """
        with self._lock:
            found = self._refresh_tokens.get(refresh_token)
            if found is None:
                raise GrantError("unknown refresh token")
            if found.spent:
                found.grant.revoked = True
                raise GrantError("refresh token is spent", reuse_detected=True)
            if found.grant.revoked:
                raise GrantError("grant is revoked")
            if not self._settings.send_refresh_token:
                return self._answer(found.grant, None)
            if not self._settings.rotate:
                return self._answer(found.grant, refresh_token)
            found.spent = True
            return self._answer(found.grant, self._new_refresh_token(found.grant))

    def revoke(self, token: str) -> None:
        """Revoke the grant of a refresh token, or one access token."""
        with self._lock:
            found = self._refresh_tokens.get(token)
            if found is not None:
                found.grant.revoked = True
                return
        claims = self._claims(token)
        if claims is not None:
            self._revoked_ids.add(claims["jti"])

    def revoke_all(self) -> None:
        """Revoke every token and code given so far."""
        with self._lock:
            for code in self._codes.values():
                code.grant.revoked = True
            self._key = secrets.token_bytes(32)

    def _claims(self, access_token: str) -> Optional[Dict[str, Any]]:
        required: Any = {"require": ["exp", "jti"]}
        try:
            claims: Dict[str, Any] = jwt.decode(
                access_token, self._key, algorithms=["HS256"], options=required
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    def _new_refresh_token(self, grant: _Grant) -> str:
        token = secrets.token_urlsafe(32)
        self._refresh_tokens[token] = _RefreshToken(grant)
        return token

    def _answer(self, grant: _Grant, refresh_token: Optional[str]) -> Dict[str, Any]:
        answer = {
            "access_token": self.access_token(grant.user),
            "token_type": "Bearer",
            "scope": SCOPE,
        }
        expires_in = self._settings.expires_in
        if expires_in is ExpiresIn.LIFE:
            expires_in = self._settings.life
        if expires_in is not ExpiresIn.MISSING:
            answer["expires_in"] = expires_in
        if refresh_token is not None:
            answer["refresh_token"] = refresh_token
        return answer
