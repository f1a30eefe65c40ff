"""A login as a client makes it, over HTTP, without a browser."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any, Dict, Union
from urllib.parse import parse_qs, urlsplit

import requests

from neuro_config.testing._render import Site

TIMEOUT = 60  # seconds; long enough for the delays that a test asks for


def log_in(
    site: Site, *, user: str, redirect_uri: str, verify: Union[bool, str]
) -> Dict[str, Any]:
    """Get a code with PKCE, redeem it, and give the answer of the token endpoint."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": site.client_id,
        "redirect_uri": redirect_uri,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "scope": "offline_access",
        "audience": site.origin,
        "login_hint": user,
    }
    with requests.Session() as session:
        session.trust_env = False  # a proxy would not reach our loopback
        session.verify = verify
        page = session.get(
            f"{site.origin}/auth", params=query, allow_redirects=False, timeout=TIMEOUT
        )
        page.raise_for_status()
        result = parse_qs(urlsplit(page.headers["Location"]).query)
        if "code" not in result:
            raise RuntimeError(f"the authorization failed: {result['error'][0]}")
        answer = session.post(
            f"{site.origin}/token",
            data={
                "grant_type": "authorization_code",
                "client_id": site.client_id,
                "redirect_uri": redirect_uri,
                "code": result["code"][0],
                "code_verifier": verifier,
            },
            timeout=TIMEOUT,
        )
        answer.raise_for_status()
        tokens: Dict[str, Any] = answer.json()
    return tokens
