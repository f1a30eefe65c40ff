"""The URL of a login that is kept in etcd, read once into a frozen value.

::

    etcd+https://user@host1,host2:2379,[::1]/prefix?ca=/etc/ca.pem

The hosts are members of one cluster, the prefix is where the login's keys begin. After
the ``?`` stand files: ``ca`` of the authority that has signed the members' certificates,
``cert`` and ``key`` of a client certificate, ``password_file``. A password stands in no
URL: other users see those of commands. ``etcd+http`` is for this very machine.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, NoReturn, Optional, Tuple
from urllib.parse import parse_qsl, unquote

import attr

from ._errors import StorageURLError
from ._guard import is_loopback, shown

PORT = 2379
SCHEMES = ("etcd+https", "etcd+http")
FILES = ("ca", "cert", "key", "password_file")
EXAMPLE = "etcd+https://user@host1,host2,host3/prefix?ca=/etc/etcd/ca.pem"

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PREFIX = re.compile(r"[A-Za-z0-9._~@+-]+(?:/[A-Za-z0-9._~@+-]+)*")


class Endpoint(NamedTuple):
    """A member of the cluster."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@attr.frozen
class EtcdURL:
    """What a URL says.

    Args:
        endpoints: The members, in the order in which they are tried.
        prefix: Where the keys begin, without slashes at its ends.
        is_secure: Whether by TLS.
        user: Of etcd's own users, ``None`` where it asks for none.
        ca: File of the authority's certificate, ``None`` for the usual ones.
        cert: File of the client's certificate.
        key: File of its key.
        password_file: File of the user's password.
    """

    endpoints: Tuple[Endpoint, ...]
    prefix: str
    is_secure: bool = True
    user: Optional[str] = None
    ca: Optional[str] = None
    cert: Optional[str] = None
    key: Optional[str] = None
    password_file: Optional[str] = None

    @property
    def location(self) -> str:
        """The URL without what is not the place: the user and the files."""
        hosts = ",".join(map(str, self.endpoints))
        return f"{SCHEMES[not self.is_secure]}://{hosts}/{self.prefix}"


def parse_url(url: str) -> EtcdURL:
    """Read a URL.

    Args:
        url: As the module's docstring shows it.

    Raises:
        StorageURLError: It is none; the text holds no secret.
    """
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    authority, _, prefix = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if ":" in user:
        # Before anything else is said: nothing of this part is shown.
        _refuse(
            url,
            "holds a password, which other users of this machine can see. Leave it "
            "out, and name a file (?password_file=...) or set "
            "NEUROMATION_CONFIG_PASSWORD.",
        )
    if not separator or scheme not in SCHEMES:
        _refuse(url, f"is no place that is known here. Use a directory or {EXAMPLE}")
    if "#" in url or not prefix.isprintable() or (at and not user):
        _refuse(url, f"is not of the form {EXAMPLE}")
    prefix = unquote(prefix).strip("/")
    if not _PREFIX.fullmatch(prefix):
        _refuse(url, f"needs a prefix of letters, digits and ._~@+- as in {EXAMPLE}")
    endpoints = tuple(_endpoint(url, host) for host in hosts.split(","))
    made = EtcdURL(
        endpoints,
        prefix,
        is_secure=scheme == SCHEMES[0],
        user=unquote(user) or None,
        **_files(url, query),
    )
    _require_sense(url, made)
    return made


def _endpoint(url: str, text: str) -> Endpoint:
    match = _HOST.fullmatch(text)
    if match is None:
        _refuse(url, f"needs hosts that are divided by commas, as in {EXAMPLE}")
    port = int(match[3] or PORT)
    if not 0 < port < 1 << 16:
        _refuse(url, f"names the port {port}, which does not exist.")
    return Endpoint((match[1] or match[2]).lower(), port)


def _files(url: str, query: str) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in FILES or not value or name in found:
            _refuse(url, f"takes each of {', '.join(FILES)} once, and nothing else.")
        found[name] = value
    return found


def _require_sense(url: str, made: EtcdURL) -> None:
    if (made.cert is None) != (made.key is None):
        _refuse(url, "needs both cert and key, or neither.")
    if made.password_file is not None and made.user is None:
        _refuse(url, "names a password file and no user.")
    if made.is_secure:
        return
    if made.ca or made.cert:
        _refuse(url, "names certificates: use etcd+https.")
    if not all(is_loopback(endpoint.host) for endpoint in made.endpoints):
        _refuse(url, "must be etcd+https; etcd+http is for this machine only.")


def _refuse(url: str, reason: str) -> NoReturn:
    raise StorageURLError(shown(url), reason)
