"""What is wrong or odd inside of an answer, for each endpoint that answers in JSON."""

from __future__ import annotations

import gzip
import json
from typing import Any, Dict, Iterable, Tuple, Union

from failures import (
    BROKEN,
    DEAD,
    LONG,
    PACKED,
    REFUSED,
    UNAUTHORIZED,
    UNUSABLE,
    Failure,
    odd,
    unusable,
)
from wire import http

Value = Union[None, bool, int, float, str, Iterable[Any], Dict[str, Any]]


def changed(**fields: Value) -> Failure:
    """The good answer with other values of some fields; it is a good one still."""
    return odd(lambda body: http({**json.loads(body), **fields}))


def lacking(field: str) -> Failure:
    """The good answer without a field, and a good one still."""
    return odd(
        lambda body: http(
            {name: value for name, value in json.loads(body).items() if name != field}
        )
    )


def wrong(body: object, kind: str = UNUSABLE, status: int = 200) -> Failure:
    return Failure(kind, http(body, status))


# No token, and no expires_in that says something.
NO_TOKENS: Tuple[Value, ...] = (5, True, [], {}, " ", "a b", "\u00e4", "a\r\nb")
NO_SECONDS: Tuple[Value, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    10**30,
    "",
    "x",
    [],
    {"a": 1},
)
SECONDS: Tuple[Value, ...] = ("60", 5e-324)
NO_URLS: Tuple[Value, ...] = (5, None, [], "", "x", "https://evil.example/", "http://[")
NO_LISTS: Tuple[Value, ...] = (5, "x", {"a": 1}, [5], [{}])
NO_CLUSTERS: Tuple[Value, ...] = (*NO_LISTS, None, [{"name": 5}], [None])
NO_TEXTS: Tuple[Value, ...] = (5, {"a": 1}, [5])
NO_FLAGS: Tuple[Value, ...] = (5, "yes", [])

GRANT = {"access_token": "canary-granted", "refresh_token": "canary-next"}

TOKEN: Dict[str, Failure] = {
    "invalid_grant": wrong({"error": "invalid_grant"}, DEAD, 400),
    "invalid_grant as 401": wrong({"error": "invalid_grant"}, DEAD, 401),
    "invalid_grant as 200": wrong({"error": "invalid_grant"}),
    "invalid_grant as 500": wrong({"error": "invalid_grant"}, status=500),
    "a grant as 500": wrong(GRANT, status=500),
    "a grant as 400": wrong(GRANT, REFUSED, 400),
    "an error of another type": wrong({"error": ["invalid_grant"]}, REFUSED, 400),
    "invalid_client": wrong({"error": "invalid_client"}, REFUSED, 401),
    "a long error": wrong(
        {"error": "e" * 9999, "error_description": "\x07\ud800" * 999}, REFUSED, 400
    ),
    "half a gzip of a grant": unusable(
        http(gzip.compress(json.dumps(GRANT).encode())[:-9], headers=PACKED)
    ),
    "a grant and then no gzip": unusable(
        http(gzip.compress(json.dumps(GRANT).encode(), 0)[:-9] + LONG, headers=PACKED)
    ),
    "a grant in too long a body": wrong({**GRANT, "x": "x" * (1 << 18)}),
    "a grant cut off": Failure(
        BROKEN, http(GRANT).replace(b"Content-Length: ", b"Content-Length: 9")
    ),
    "a nested grant": wrong({"data": GRANT}),
    "no access token": wrong({"refresh_token": "canary-next", "expires_in": 60}),
    **{
        f"the access token {value!r:.9}": wrong({**GRANT, "access_token": value})
        for value in (*NO_TOKENS, None, "")
    },
    **{
        f"the refresh token {value!r:.9}": wrong({**GRANT, "refresh_token": value})
        for value in NO_TOKENS
    },
    **{
        f"expires_in {value!r:.9}": changed(expires_in=value)
        for value in (*NO_SECONDS, *SECONDS)
    },
    "no expires_in": lacking("expires_in"),
    "no refresh token": lacking("refresh_token"),
    "the refresh token null": changed(refresh_token=None),
    "the same refresh token": changed(refresh_token="canary-refresh-0"),
    "another token_type": changed(token_type=5, scope=[], id_token={}),
}

CONFIG: Dict[str, Failure] = {
    "an error as 200": wrong({"error": "no"}),
    "an error of another type": wrong({"error": [5]}),
    **{
        f"authorized {value!r}": wrong({"authorized": value, "clusters": []})
        for value in NO_FLAGS
    },
    "authorized without clusters": wrong({"authorized": True}),
    **{
        f"clusters {value!r}": wrong({"authorized": True, "clusters": value})
        for value in NO_CLUSTERS
    },
    **{
        f"{field} {value!r}": wrong({"authorized": True, "clusters": [], field: value})
        for field in ("orgs", "projects")
        for value in NO_LISTS
    },
    **{
        f"{field} {value!r}": wrong(
            {"authorized": True, "clusters": [], "client_id": "c", field: value}
        )
        for field in ("token_url", "auth_url", "callback_urls", "logout_url")
        for value in NO_TEXTS
    },
    "unauthorized": Failure(UNAUTHORIZED, http({"authorized": False})),
    "nothing to say": Failure(UNAUTHORIZED, http({})),
    "unauthorized, and how to log in": Failure(
        UNAUTHORIZED,
        odd=lambda body: http(
            {**json.loads(body), "clusters": [], "authorized": False}
        ),
    ),
    "unknown fields": changed(future={"a": [1]}, apps=None),
}

METADATA: Dict[str, Failure] = {
    f"the endpoint {value!r}": changed(revocation_endpoint=value)
    for value in (*NO_URLS, "/revoke")
}
