"""The credential helper of docker's: what it says when docker asks.

docker runs ``docker-credential-neuro-config ACTION`` and speaks to it over its standard
input and output. The token goes to the registries of the login's clusters and to nobody
else, and only over https or to this very machine. Nothing is kept here: the login is
the store's, so ``store`` takes what ``get`` gives and refuses all else.

The platform's registries take any valid token as the password of the user ``token``.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    TextIO,
    cast,
)

from ._cluster_line import origin_of
from ._docker_config import HELPER
from ._errors import ConfigError, NotLoggedInError
from ._guard import require_secure
from ._session import Secret
from ._version import __version__
from ._words import shown, words_of

if TYPE_CHECKING:
    from ._store import ConfigStore

PROGRAM = f"docker-credential-{HELPER}"
USERNAME = "token"
LIMIT = 1 << 20  # bytes that docker may say
INTERRUPTED = 130  # how a process ends that somebody stopped with Ctrl-C

# docker knows these sentences (docker-credential-helpers, credentials/error.go).
NOT_FOUND = "credentials not found in native keychain"
NO_SERVER = "no credentials server URL"

_IDENTITY = "<token>"  # docker's user name for what a registry gave for our token
_SERVER = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<place>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?:/[!-~]*)?"
)


class Answer(NamedTuple):
    """What the helper answers: to docker, to the person, and how it ends."""

    out: str = ""
    note: str = ""
    code: int = 0


def answer(action: str, said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    """Do what docker asks for.

    Args:
        action: ``get``, ``store``, ``erase``, ``list`` or ``version``.
        said: What docker says on the standard input.
        open_store: Opens the store; called only if it is needed.

    Returns:
        The answer; what cannot be done is told in it, nothing is raised.
    """
    if action not in _ACTIONS:
        return Answer(f"Usage: {PROGRAM} {'|'.join(_ACTIONS)}", code=1)
    try:
        return _ACTIONS[action](said.strip(), open_store)
    except ConfigError as error:
        return Answer(shown(words_of(error)), code=1)


def serve() -> NoReturn:
    """Be the program ``docker-credential-neuro-config``."""
    try:
        code = _serve()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:  # of the pipes to docker, or of the system
        code = 1
        with contextlib.suppress(OSError):
            print(f"{PROGRAM}: {error.strerror or error}.", file=sys.stderr)
    sys.exit(code)


def _serve() -> int:
    from ._store import ConfigStore

    action = sys.argv[1] if len(sys.argv) == 2 else ""
    said = ""
    if action in ("get", "store", "erase"):  # docker may leave it open for others
        said = Secret(sys.stdin.buffer.read(LIMIT).decode(errors="replace"))
    given = answer(action, said, ConfigStore)
    if given.note:
        print(given.note, file=sys.stderr)
    if given.out:
        try:
            print(given.out, flush=True)
        except OSError:
            # Python would try again when it ends, and complain in its own way.
            sys.stdout = cast(TextIO, None)
            raise
    return given.code


def registry_of(store: ConfigStore, server: str) -> Optional[str]:
    """Find the registry that docker means.

    Args:
        store: Whose clusters.
        server: A host as docker says it: perhaps with a scheme, a port or a path.

    Returns:
        The registry's URL, ``None`` if it is none of a cluster's.
    """
    asked = _SERVER.fullmatch(server)
    if asked is None:
        return None
    for url in _registry_urls(store, _current_first(store)):
        scheme = asked["scheme"] or url.partition(":")[0]
        try:
            is_same = origin_of(f"{scheme}://{asked['place']}") == origin_of(url)
        except ValueError:  # of a port beyond 65535
            continue
        if is_same:
            return url
    return None


def registry_hosts(store: ConfigStore) -> List[str]:
    """List the registries of all clusters as docker names them, each once."""
    hosts = (_host_of(url) for url in _registry_urls(store, store.clusters))
    return list(dict.fromkeys(hosts))


def _registry_urls(store: ConfigStore, names: Iterable[str]) -> Iterable[str]:
    # One by one: to read a cluster takes a moment, and there may be a thousand.
    clusters = store.clusters
    return (str(clusters[name].registry_url) for name in names)


def _current_first(store: ConfigStore) -> List[str]:
    names = list(store.clusters)
    with contextlib.suppress(ConfigError):  # whoever has chosen nothing, or wrongly
        current = store.cluster_name
        names.sort(key=lambda name: name != current)
    return names


def _host_of(url: str) -> str:
    scheme, _, place = origin_of(url).partition("://")
    default = {"https": ":443", "http": ":80"}.get(scheme, "")
    return place[: -len(default)] if default and place.endswith(default) else place


def _get(said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    if not said:
        return Answer(NO_SERVER, code=1)
    store = open_store()
    try:
        registry = registry_of(store, said)
        if registry is None:
            return Answer(NOT_FOUND, code=1)
        require_secure(registry)
        token = store.token()
    except NotLoggedInError:
        # Not an error to docker: what is public can be had without a login.
        return Answer(NOT_FOUND, "Nobody is logged in: neuro-config login", code=1)
    given = {"ServerURL": said, "Username": USERNAME, "Secret": token}
    return Answer(Secret(json.dumps(given)))


def _store(said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    # "docker login" brings what it got from "get" back here; it must not fail then.
    try:
        given: Any = json.loads(said)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return Answer("What is to be stored is no JSON object.", code=1)
    username, server = given.get("Username"), given.get("ServerURL")
    if username in (USERNAME, _IDENTITY) and isinstance(server, str):
        try:
            if registry_of(open_store(), server) is not None:
                return Answer()
        except NotLoggedInError:
            pass
    return Answer(
        f"{PROGRAM} keeps no passwords: it gives docker the token of neuro-config's own "
        "login. Log in with neuro-config login, or take it out of docker's "
        "configuration with neuro-config docker uninstall.",
        code=1,
    )


def _erase(said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    # docker hides a refusal, and a script's "docker logout" must not fail.
    return Answer(
        note="docker has kept nothing of this login, so it still has access. "
        "neuro-config logout ends the login, and neuro-config docker uninstall keeps "
        "it from docker."
    )


def _list(said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    try:
        hosts = registry_hosts(open_store())
    except NotLoggedInError:
        hosts = []
    return Answer(json.dumps(dict.fromkeys(hosts, USERNAME)))


def _version(said: str, open_store: Callable[[], ConfigStore]) -> Answer:
    return Answer(f"{PROGRAM} (neuro_config) v{__version__}")


_ACTIONS: Mapping[str, Callable[[str, Callable[[], ConfigStore]], Answer]] = {
    "get": _get,
    "store": _store,
    "erase": _erase,
    "list": _list,
    "version": _version,
}


if __name__ == "__main__":
    serve()
