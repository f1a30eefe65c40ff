"""The small pages that a browser shows at the end of a login."""

from __future__ import annotations

import html
from string import Template
from typing import Optional

import attr


@attr.frozen
class Page:
    """What a browser gets.

    Args:
        status: Of HTTP.
        title: A few words.
        text: A sentence or two, as plain text.
        location: Where the browser is sent instead of seeing it, or ``None``.
    """

    status: int
    title: str
    text: str
    location: Optional[str] = None

    def render(self) -> bytes:
        """Return the page as HTML in UTF-8, all of its text escaped."""
        good = self.status < 400
        return _HTML.substitute(
            title=html.escape(self.title),
            text=html.escape(self.text),
            kind="good" if good else "bad",
            mark=_CHECK if good else _CROSS,
        ).encode(errors="replace")


def welcome(platform: str, username: str, location: Optional[str] = None) -> Page:
    """Say that the login is done.

    Args:
        platform: Its host.
        username: Who is logged in.
        location: The platform's own page for this, or ``None``.
    """
    return Page(
        200 if location is None else 302,
        "You are logged in",
        f"You are logged in to {platform} as {username}; you can close this tab.",
        location,
    )


def failure(reason: str) -> Page:
    """Say what went wrong."""
    return Page(400, "The login failed", reason)


INTERRUPTED = failure("The program that asked for the login has ended it.")
NOT_THE_ANSWER = Page(
    400,
    "Not the answer to this login",
    "This page was opened from an older login, or by something else. The login that "
    "is under way goes on: look for its tab, or open its URL again.",
)
ANSWERED_ALREADY = Page(
    409,
    "Answered already",
    "This login has its answer. Its result is shown in the tab that brought it.",
)
NOT_FOUND = Page(404, "Nothing here", "Only the end of a login is shown here.")

_CHECK = '<path d="M14 25l7 7 14-16"/>'
_CROSS = '<path d="M16 16l16 16M32 16L16 32"/>'
_HTML = Template(
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --paper: #f4f5f7; --card: #ffffff; --ink: #1c2128; --soft: #57606a;
        --line: #d8dee4; --good: #1a7f37; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0f1318; --card: #181d24; --ink: #e6edf3; --soft: #9aa6b2;
          --line: #2d343d; --good: #3fb950; --bad: #ff7b72; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; padding: 1rem; display: flex;
       align-items: center; justify-content: center;
       background: var(--paper); color: var(--ink);
       font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { width: 100%; max-width: 28rem; padding: 2.25rem 1.75rem; text-align: center;
       background: var(--card); border: 1px solid var(--line); border-radius: 14px; }
svg { width: 3.5rem; height: 3.5rem; fill: none; stroke: currentColor;
      stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
.good svg { color: var(--good); }
.bad svg { color: var(--bad); }
h1 { margin: .75rem 0 .5rem; font-size: 1.375rem; line-height: 1.3; }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
</style>
</head>
<body class="$kind">
<main>
<svg viewBox="0 0 48 48" aria-hidden="true"><circle cx="24" cy="24" r="21"/>$mark</svg>
<h1>$title</h1>
<p>$text</p>
</main>
</body>
</html>
"""
)
