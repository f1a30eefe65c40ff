"""What a refresh leaves in a session until one succeeds: its mark, its failure."""

from __future__ import annotations

from typing import Optional

import attr


@attr.frozen
class RefreshMark:
    """Written down before a refresh token is spent.

    Args:
        token_hash: SHA-256 of the refresh token, in hex.
        sent_at: When it was sent first, seconds since the epoch.
        attempts: How often it has been sent; more than 1 only after its answer was
            lost and the access token had expired.
    """

    token_hash: str
    sent_at: float
    attempts: int = 1


@attr.frozen
class RefreshFailure:
    """The latest failed refresh, which every process honours.

    Args:
        failed_at: When, seconds since the epoch.
        count: How many in a row.
        no_early_refresh_before: Until then nobody refreshes a token that is still
            valid, seconds since the epoch.
        reason: What happened, for people.
        code: OAuth's error code where the authorization server refused, else ``None``.
    """

    failed_at: float
    count: int
    no_early_refresh_before: float
    reason: str
    code: Optional[str] = None
