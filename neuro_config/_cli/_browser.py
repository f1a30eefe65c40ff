"""Showing a page of the platform to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from yarl import URL


def show_page(url: URL, why: str, note: Callable[[str], object]) -> None:
    """Open a page in the system's browser, and say which, in case that none opens.

    Args:
        url: The page.
        why: A sentence.
        note: Prints a text on the standard error.
    """
    import webbrowser

    # The URL alone on its line, so that it can be copied.
    note(f"{why} If no browser opens, go to\n{url}")
    webbrowser.open(str(url))
