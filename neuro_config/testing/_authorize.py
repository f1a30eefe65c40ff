"""The pages that people meet: login, logout, and the code of a headless login."""

from __future__ import annotations

import html
from typing import Dict, Iterable, Mapping, Optional
from urllib.parse import urlencode, urlsplit, urlunsplit

from neuro_config.testing._account import Account
from neuro_config.testing._faults import Reply
from neuro_config.testing._render import Site
from neuro_config.testing._tokens import TokenServer

HTML = "text/html; charset=utf-8"


def page(status: int, body: str) -> Reply:
    """Make a small HTML page; ``body`` is HTML already."""
    text = f"<!doctype html><title>Embedded platform</title>{body}"
    return Reply(status, text.encode(), HTML)


def go_to(uri: str, query: Mapping[str, str]) -> Reply:
    """Redirect to a URI with these parameters; a bare host gets the path ``/``."""
    scheme, host, path, given, _ = urlsplit(uri)
    joined = "&".join(part for part in (given, urlencode(query)) if part)
    location = urlunsplit((scheme, host, path or "/", joined, ""))
    return Reply(302, headers=(("Location", location),))


def registered(site: Site, uri: Optional[str]) -> bool:
    """Say whether a URI is one to which the client may be sent."""
    known = (*site.callback_urls, f"{site.origin}/oauth/show-code")
    return uri in known or uri in [f"{callback}/" for callback in site.callback_urls]


def authorize(
    query: Mapping[str, str],
    *,
    site: Site,
    account: Account,
    tokens: TokenServer,
    user: str,
    interactive: bool,
) -> Reply:
    """Answer a request for a code.

    Only a known client and a registered ``redirect_uri`` are ever redirected to;
    every other mistake is told to the client.
    """
    redirect_uri = query.get("redirect_uri", "")
    if query.get("client_id") != site.client_id:
        return page(400, "<p>Unknown client.")
    if not registered(site, redirect_uri):
        return page(400, "<p>This redirect_uri is not registered.")

    def answer(**result: str) -> Reply:
        state = {"state": query["state"]} if "state" in query else {}
        return go_to(redirect_uri, {**result, **state, "iss": site.origin})

    mistake = _mistake(query, site)
    if mistake is not None:
        return answer(**mistake)
    if interactive and not {"login_hint", "deny"} & set(query):
        return page(200, _form(query, account.users))
    login = query.get("login_hint", user)
    if "deny" in query or login not in account.users:
        return answer(error="access_denied", error_description="login was denied")
    return answer(code=tokens.new_code(login, redirect_uri, query["code_challenge"]))


def _mistake(query: Mapping[str, str], site: Site) -> Optional[Dict[str, str]]:
    if query.get("response_type") != "code":
        return {"error": "unsupported_response_type"}
    if not query.get("code_challenge"):
        text = "PKCE is required"
    elif query.get("code_challenge_method") != "S256":
        text = "code_challenge_method must be S256"
    elif query.get("audience", site.origin) != site.origin:
        text = "unknown audience"
    else:
        return None
    return {"error": "invalid_request", "error_description": text}


def _form(query: Mapping[str, str], users: Iterable[str]) -> str:
    kept = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in query.items()
    )
    buttons = "".join(
        f'<button name="login_hint" value="{html.escape(name)}">'
        f"Log in as {html.escape(name)}</button>"
        for name in sorted(users)
    )
    deny = '<button name="deny" value="1">Cancel</button>'
    return f'<form action="/auth">{kept}{buttons}{deny}</form>'


def log_out(query: Mapping[str, str], site: Site) -> Reply:
    """End the browser's session, which this platform does not keep."""
    uri = query.get("post_logout_redirect_uri") or query.get("returnTo")
    if uri is not None and registered(site, uri):
        return go_to(uri, {})
    return page(200, "<p>You are logged out.")


def show_code(query: Mapping[str, str]) -> Reply:
    """Show the code to somebody who copies it into a terminal."""
    return page(200, f"<p>Your code: <code>{html.escape(query.get('code', ''))}</code>")
