"""What a server can do instead of answering well: a table, of bytes and of silence.

A failure's ``kind`` says what can be known about the request afterwards; what a call has
to make of that is said once, in ``test_server_failures``.
"""

from __future__ import annotations

import gzip
import socket
import zlib
from typing import Callable, Dict, NamedTuple, Optional

from wire import Answer, Wire, drip, hang, http, reset

# What is known of a request after a failure.
UNSENT = "unsent"  # nothing was sent
LATE = "late"  # no whole answer in time
BROKEN = "broken"  # what came is no whole HTTP answer
UNUSABLE = "unusable"  # an answer that grants nothing and refuses nothing
REFUSED = "refused"  # a definite no
DEAD = "dead"  # OAuth's ``invalid_grant``
UNAUTHORIZED = "unauthorized"  # the platform's ``authorized: false``
FINE = "fine"  # an odd answer, and a whole one

# Where a connection fails; most get as far as to a request.
REQUEST = "request"
REFUSES = "refuses"  # nobody listens
BACKLOG = "backlog"  # the kernel takes connections, nobody else does
HANDSHAKE = "handshake"  # of TLS
NAME = "name"  # there is no such host


class Failure(NamedTuple):
    """What is done instead of a good answer.

    Args:
        kind: What is known of the request then.
        answer: What comes instead.
        odd: Makes an answer of the good one's body.
        stage: How far a connection gets.
        is_passing: A ``GET`` is tried again, which takes time.
        is_heavy: As much is sent as is read.
    """

    kind: str
    answer: Answer = b""
    odd: Optional[Callable[[bytes], Answer]] = None
    stage: str = REQUEST
    is_passing: bool = False
    is_heavy: bool = False


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 65536
PACKED = "Content-Encoding: gzip\r\n"


def then_silence(start: bytes) -> Answer:
    """Send so much, and then nothing."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        connection.sendall(start)
        hang(wire, connection)

    return answer


def slowly(data: bytes) -> Answer:
    """Send all, in pieces that come one after the other."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        size = len(data) // 8 + 1
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
            wire.closing.wait(0.01)

    return answer


def echo(status: int) -> Answer:
    """Send back what came, with the secrets in it."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        connection.sendall(http(wire.requests[-1], status))

    return answer


def chunks(*sizes: int) -> Callable[[bytes], bytes]:
    """Make a chunked answer with chunks of so many bytes, and the rest."""

    def answer(body: bytes) -> bytes:
        data, start = CHUNKED, 0
        for size in (*sizes, len(body)):
            piece = body[start : start + size]
            start += len(piece)
            data += b"%x;why=not\r\n%s\r\n" % (len(piece), piece)
            if start == len(body):
                break
        return data + b"0\r\nX-Trailer: x\r\n\r\n"

    return answer


def broken(start: bytes) -> Failure:
    return Failure(BROKEN, start, is_passing=True)


def late(answer: Answer) -> Failure:
    return Failure(LATE, answer)


def unusable(answer: Answer) -> Failure:
    return Failure(UNUSABLE, answer)


def endless(start: bytes, kind: str = UNUSABLE) -> Failure:
    return Failure(kind, drip(start, LONG, 0), is_heavy=True)


def odd(change: Callable[[bytes], Answer]) -> Failure:
    return Failure(FINE, odd=change)


CONNECTIONS: Dict[str, Failure] = {
    "nobody listens": Failure(UNSENT, stage=REFUSES, is_passing=True),
    "no such name": Failure(UNSENT, stage=NAME, is_passing=True),
    "TLS garbage": Failure(UNSENT, b"garbage\r\n" * 9, stage=HANDSHAKE),
    "no TLS": Failure(UNSENT, http({}, 400), stage=HANDSHAKE),
    "not accepted": Failure(LATE, stage=BACKLOG),
    "silence": late(hang),
    "silence in the status line": late(then_silence(b"HTTP/1.1 2")),
    "silence in the headers": late(then_silence(OK + b"Content-Le")),
    "silence after the headers": late(then_silence(OK + b"Content-Length: 2\r\n\r\n")),
    "silence in the body": late(then_silence(OK + b"Content-Length: 9\r\n\r\n{")),
    "silence in a chunk": late(then_silence(CHUNKED + b"9\r\n{")),
    "silence before the last chunk": late(then_silence(CHUNKED + b"2\r\n{}\r\n")),
    "a slow status line": late(drip(b"", b"H", 0.1)),
    "a slow header": late(drip(OK + b"X-Long: ", b"x", 0.1)),
    "slow headers": late(drip(OK, b"X: y\r\n", 0.1)),
    "a slow body": late(drip(OK + b"\r\n", b" ", 0.1)),
    "slow chunks": late(drip(CHUNKED, b"1\r\n \r\n", 0.1)),
    "endless 100 Continue": late(drip(b"", b"HTTP/1.1 100 Go on\r\n\r\n", 0.01)),
    "endless trailers": late(drip(CHUNKED + b"0\r\n", b"X: y\r\n", 0.01)),
    "closed": broken(b""),
    "reset": Failure(BROKEN, reset, is_passing=True),
    "closed in the status line": broken(b"HTTP/1.1 20"),
    "closed after the headers": broken(OK + b"Content-Length: 2\r\n\r\n"),
    "closed in the body": broken(OK + b"Content-Length: 9\r\n\r\n{}"),
    "a Content-Length beyond all": broken(
        OK + b"Content-Length: 99999999999999999999\r\n\r\n{}"
    ),
    "two Content-Lengths": Failure(
        BROKEN, OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    ),
    "closed before the first chunk": broken(CHUNKED),
    "closed in a chunk's size": broken(CHUNKED + b"1"),
    "closed in a chunk": broken(CHUNKED + b"9\r\n{}"),
    "closed before the last chunk": broken(CHUNKED + b"2\r\n{}\r\n"),
    "a chunk without a size": broken(CHUNKED + b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk whose size is no number": broken(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk whose size is -2": broken(CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than it says": broken(CHUNKED + b"1\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size beyond all": broken(CHUNKED + b"f" * 70000),
    "no HTTP": broken(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "zeros": broken(bytes(99)),
    "HTTP/0.9": broken(b"<html>no</html>\r\n"),
    "HTTP of the future": broken(b"HTTP/x.y 200 OK\r\n\r\n{}"),
    "a status that is no number": broken(b"HTTP/1.1 two OK\r\n\r\n{}"),
    "a status below all": broken(b"HTTP/1.1 99 No\r\n\r\n{}"),
    "a status beyond all": broken(b"HTTP/1.1 1000 No\r\n\r\n{}"),
    "an endless status line": Failure(
        BROKEN, drip(b"HTTP/1.1 200 ", LONG, 0), is_passing=True
    ),
    "an endless header": Failure(BROKEN, drip(OK + b"X: ", LONG, 0), is_passing=True),
    "endless headers": Failure(BROKEN, drip(OK, b"X: y\r\n" * 99, 0), is_passing=True),
    "endless broken headers": Failure(
        BROKEN, drip(OK, b":\r\n" * 99, 0), is_passing=True
    ),
}

BODIES: Dict[str, Failure] = {
    "an endless body": endless(OK + b"\r\n"),
    "endless chunks": Failure(
        UNUSABLE, drip(CHUNKED, b"10000\r\n" + LONG + b"\r\n", 0), is_heavy=True
    ),
    "a chunk whose size is -1": endless(CHUNKED + b"-1\r\n"),
    "an endless 503": Failure(
        UNUSABLE,
        drip(b"HTTP/1.1 503 No\r\n\r\n", LONG, 0),
        is_passing=True,
        is_heavy=True,
    ),
    "an endless redirect": endless(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
    "a bomb": Failure(
        UNUSABLE,
        http(gzip.compress(bytes((1 << 26) + 1), 1), headers=PACKED),
        is_heavy=True,
    ),
    "a body too long": unusable(http(b'"' + LONG * 5)),
    "no gzip": unusable(http({}, headers=PACKED)),
    "half a gzip": unusable(http(gzip.compress(b'{"a": 1}')[:-9], headers=PACKED)),
    "an empty gzip": unusable(http(b"", headers=PACKED)),
    "gzip twice": unusable(
        http(
            gzip.compress(gzip.compress(b"{}")),
            headers="Content-Encoding: gzip, gzip\r\n",
        )
    ),
    "brotli": unusable(http(b"{}", headers="Content-Encoding: br\r\n")),
    "deflate": unusable(
        http(zlib.compress(b"{}"), headers="Content-Encoding: deflate\r\n")
    ),
    "a Content-Length too small": unusable(OK + b"Content-Length: 1\r\n\r\n{}"),
    "an empty body": unusable(http()),
    "HTML": unusable(http(b"<html>Please log in to the network</html>")),
    "garbage": unusable(http(b"\xff\xfe\x00garbage")),
    "half a JSON": unusable(http(b'{"authorized": tr')),
    "a deep JSON": unusable(http(b"[" * 99999)),
    "a deep object": unusable(http(b'{"a":' * 9999)),
    "a long number": unusable(http(b"9" * 99999)),
    **{
        f"the JSON {body}": unusable(http(body.encode()))
        for body in ("null", "true", "5", "[]", '"x"', "NaN", '[{"authorized": true}]')
    },
}

PASSING = (502, 503, 504)  # a GET is tried again after these


def of_status(status: int, headers: str = "") -> Failure:
    """The failure that a status is at the token endpoint, with a body that says nothing."""
    body = b"" if status < 200 or status in (204, 304) else {"detail": "no"}
    is_refusal = 300 <= status < 500 and status != 408
    return Failure(
        REFUSED if is_refusal else UNUSABLE,
        http(body, status, headers),
        is_passing=status in PASSING,
    )


STATUSES: Dict[str, Failure] = {
    **{
        f"status {status}": of_status(status)
        for status in (101, 103, 201, 204, 206, 300, 304, 400, 401, 403, 404, 405, 408)
    },
    **{
        f"status {status}": of_status(status)
        for status in (409, 410, 413, 421, 425, 426, 431, 451, 499, 500, 501, 511, 599)
    },
    **{
        f"status {status} and Retry-After": of_status(status, "Retry-After: 86400\r\n")
        for status in (429, 502, 503, 504)
    },
    **{
        f"status {status} to another host": of_status(
            status, "Location: https://evil.example/\r\n"
        )
        for status in (301, 302, 303, 307, 308)
    },
    "an echo as 400": Failure(REFUSED, echo(400)),
    "an echo as 500": Failure(UNUSABLE, echo(500)),
    "a redirect to no URL": of_status(302, "Location: http://[\r\n"),
}

ODD: Dict[str, Failure] = {
    "100 Continue first": odd(lambda body: b"HTTP/1.1 100 Go on\r\n\r\n" + http(body)),
    "no reason phrase": odd(lambda body: b"HTTP/1.1 200\r\n\r\n" + body),
    "HTTP/1.0 until it closes": odd(lambda body: b"HTTP/1.0 200 OK\r\n\r\n" + body),
    "a negative Content-Length": odd(
        lambda body: OK + b"Content-Length: -5\r\n\r\n" + body
    ),
    "a Content-Length that is no number": odd(
        lambda body: OK + b"Content-Length: many\r\n\r\n" + body
    ),
    "junk after the body": odd(lambda body: http(body) + b"junk"),
    "chunks": odd(chunks(1, 2, 3)),
    "chunks and a Content-Length": odd(
        lambda body: chunks(5)(body).replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1)
    ),
    "gzip": odd(lambda body: http(gzip.compress(body), headers=PACKED)),
    "gzip and junk": odd(lambda body: http(gzip.compress(body) + b"x", headers=PACKED)),
    "long headers": odd(
        lambda body: http(
            body, headers="".join(f"X-{n}: {'x' * 6000}\r\n" for n in range(90))
        )
    ),
    "headers in another encoding": odd(
        lambda body: http(body, headers="Content-Type: \u00e4\u4e2d; charset=\x07\r\n")
    ),
    "cookies": odd(
        lambda body: http(
            body, headers="Set-Cookie: a=b; expires=never\r\nSet-Cookie: =\r\n"
        )
    ),
    "slowly": odd(lambda body: slowly(http(body))),
}
