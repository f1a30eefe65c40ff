"""What etcd's JSON is made of: keys and values in base64, and the parts of a transaction."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Dict, Mapping, NamedTuple, Optional

from ._session import Secret, SecretBytes

Payload = Mapping[str, Any]


class Stored(NamedTuple):
    """A key's value, and the revision that wrote it."""

    value: bytes
    revision: int


NOTHING = Stored(b"", 0)


def key_values(answer: Mapping[str, Any]) -> Dict[bytes, Stored]:
    """Read what a range request has found.

    Raises:
        ValueError: It is not what etcd sends.
    """
    try:
        return {
            b64decode(one["key"]): Stored(
                SecretBytes(b64decode(one.get("value", ""))), int(one["mod_revision"])
            )
            for one in answer.get("kvs", ())
        }
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no keys and values") from None


def after(prefix: bytes) -> bytes:
    """Return what follows all keys that begin with a prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def text_of(data: bytes) -> str:
    """Write bytes as etcd's JSON wants them."""
    return b64encode(data).decode()


def same(key: bytes, revision: int) -> Payload:
    """Require that a key is as it was; revision 0 is that of a key that is not there."""
    return {
        "key": text_of(key),
        "target": "MOD",
        "result": "EQUAL",
        "mod_revision": str(revision),
    }


def there(key: bytes) -> Payload:
    """Require that a key is there."""
    return {
        "key": text_of(key),
        "target": "CREATE",
        "result": "GREATER",
        "create_revision": "0",
    }


def put(key: bytes, value: bytes, lease: Optional[str] = None) -> Payload:
    """Write a key."""
    fields = {"key": text_of(key), "value": Secret(text_of(value))}
    if lease is not None:
        fields["lease"] = lease
    return {"request_put": fields}


def delete(key: bytes, end: Optional[bytes] = None) -> Payload:
    """Remove a key, or all from ``key`` up to before ``end``."""
    fields = {"key": text_of(key)}
    if end is not None:
        fields["range_end"] = text_of(end)
    return {"request_delete_range": fields}
