"""How a person logs in: in a browser on this machine, or in one anywhere.

Both get a code and hand a token request on; what is done with that, and stored, is the
store's business. A browser sees its page when that is done, so the page tells the truth.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, Mapping, Optional
from urllib.parse import urlsplit

from yarl import URL

from ._authorization import AuthorizationRequest
from ._callback import NO_THREAD, Listener
from ._errors import (
    CallbackPortError,
    ConfigError,
    InsecureURLError,
    LoginNotOfferedError,
)
from ._guard import is_token, require_secure, shown
from ._pages import Page, failure, welcome
from ._session import AuthConfig

ShowBrowser = Callable[[URL], object]
GetAuthCode = Callable[[URL], str]
TokenRequest = Mapping[str, str]  # its fields

logger = logging.getLogger(__package__)


def in_browser(
    auth: AuthConfig,
    show_browser: Optional[ShowBrowser],
    seconds: float,
    redeem: Callable[[TokenRequest], Page],
) -> None:
    """Log in with a browser on this machine.

    Args:
        auth: Names the server, the client and the callback URLs.
        show_browser: Shows a URL to the user, in a thread of its own, so that it may
            take as long as the login; the system's browser if ``None``.
        seconds: That the user may take.
        redeem: Logs in with a token request and returns what the browser shows.

    Raises:
        LoginNotOfferedError: No callback URL leads to this machine.
        CallbackPortError: No port of theirs can be had.
        LoginTimeoutError: No answer came in time.
        ConfigError: What the answer says, and what ``redeem`` raises.
        Exception: What ``show_browser`` raises.
    """
    with Listener(auth.callback_urls) as listener:
        request = AuthorizationRequest(auth, listener.url)
        listener.listen_for(request.is_answer)
        _show(show_browser, URL(request.authorization_url, encoded=True), listener)
        answer = listener.wait(seconds)
        try:
            page = redeem(request.token_request(answer.query))
        except ConfigError as error:
            answer.show(failure(str(error)))
            raise
        answer.show(page)


def headless(
    auth: AuthConfig, get_auth_code: GetAuthCode, redeem: Callable[[TokenRequest], Page]
) -> None:
    """Log in with a browser anywhere; somebody carries the code over.

    Args:
        auth: Names the server, the client and the page that shows the code.
        get_auth_code: Shows a URL to the user and returns the code, or the whole URL
            of the page that shows it.
        redeem: As in ``in_browser``.

    Raises:
        LoginNotOfferedError: The platform has no page that shows a code.
        InvalidCodeError: What was given is no code, or one of another login.
        ConfigError: What the answer says, and what ``redeem`` raises.
        Exception: What ``get_auth_code`` raises.
    """
    if auth.headless_callback_url is None:
        raise LoginNotOfferedError(
            "The platform has no page that shows a code, so there is no headless "
            "login. Log in on a machine with a browser, or with login_with_token."
        )
    require_secure(auth.headless_callback_url)
    request = AuthorizationRequest(auth, auth.headless_callback_url)
    # Not in a variable of this frame: the URL holds the state.
    redeem(
        request.token_request_of_pasted(
            get_auth_code(URL(request.authorization_url, encoded=True))
        )
    )


def required(auth: Optional[AuthConfig], api_url: str) -> AuthConfig:
    """Return how to log in.

    Raises:
        LoginNotOfferedError: The platform does not say.
        InsecureURLError: It would have secrets sent in the clear.
    """
    if auth is None:
        raise LoginNotOfferedError(
            f"{shown(api_url)} does not tell how to log in. Check the URL, or log in "
            "with login_with_token."
        )
    require_secure(auth.token_url)  # before anybody takes the trouble
    return auth


def page_of(auth: AuthConfig, api_url: str, username: str) -> Page:
    """Make what the browser shows of a login that is done."""
    location = auth.success_redirect_url
    # It goes into a header as it is.
    if not is_token(location) or urlsplit(location).scheme not in ("http", "https"):
        location = None
    return welcome(urlsplit(api_url).netloc.rpartition("@")[2], username, location)


def _show(show_browser: Optional[ShowBrowser], url: URL, listener: Listener) -> None:
    if show_browser is None:
        show_browser = open_browser
    show = show_browser

    def run() -> None:
        try:
            show(url)
        except BaseException as error:  # carried over to the thread that waits
            listener.fail(error)

    try:
        threading.Thread(
            target=run, name="neuro_config-show-browser", daemon=True
        ).start()
    except RuntimeError:
        raise CallbackPortError([listener.url], NO_THREAD) from None


def open_browser(url: URL) -> None:
    """Show a URL in the system's browser, and in the log."""
    import webbrowser

    # Whether one has opened nobody knows for sure, so the URL is shown in any case.
    logger.warning("Log in with a browser. If none opens, go to %s", url)
    try:
        webbrowser.open(str(url))
    except Exception as error:  # of a $BROWSER that is no command, for example
        logger.warning("No browser could be opened: %s", error)


def show_logout(auth: AuthConfig, logout_url: str, show_browser: ShowBrowser) -> None:
    """Show where the browser's own session ends; warn if there is no such place."""
    try:
        require_secure(logout_url)
        url = URL(logout_url).update_query(client_id=auth.client_id)
    except (InsecureURLError, ValueError):
        logger.warning("The platform names no usable URL to log out at.")
        return
    show_browser(url)
