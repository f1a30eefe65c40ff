"""The entries in docker's own configuration that make docker ask the helper."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from ._edit import edit
from ._errors import ConfigError, UserConfigError, bare
from ._user_config import MAX_DEPTH, is_deeper

HELPER = "neuro-config"  # what docker calls it; the program's name has a prefix


def config_file(folder: Optional[str] = None) -> str:
    """Tell where docker keeps its configuration.

    Args:
        folder: Its directory; else ``$DOCKER_CONFIG``, else ``~/.docker``.
    """
    given = folder or os.environ.get("DOCKER_CONFIG") or "~/.docker"
    return os.path.join(os.path.abspath(os.path.expanduser(given)), "config.json")


def install(path: str, hosts: Iterable[str]) -> Dict[str, Optional[str]]:
    """Make docker ask the helper for the registries that are given.

    Args:
        path: docker's ``config.json``; what else is in it stays.
        hosts: The registries.

    Returns:
        The registries that are new, and which helper docker asked for each until now.

    Raises:
        UserConfigError: It is not what docker writes, or cannot be read.
        LockTimeoutError: Another process changes it for too long.
        StorageWriteError: It is read-only, or the system refuses to write.
    """
    wanted = list(hosts)
    new: Dict[str, Optional[str]] = {}

    def change(helpers: Dict[str, Any]) -> Dict[str, Any]:
        new.clear()
        new.update(
            (host, helpers.get(host)) for host in wanted if helpers.get(host) != HELPER
        )
        return {**helpers, **dict.fromkeys(new, HELPER)}

    _edit_helpers(path, change)
    return new


def uninstall(path: str) -> Tuple[str, ...]:
    """Make docker ask the helper for nothing any more.

    Args:
        path: docker's ``config.json``; what else is in it stays.

    Returns:
        The registries that it was asked for.

    Raises:
        ConfigError: As ``install``.
    """
    removed: List[str] = []

    def change(helpers: Dict[str, Any]) -> Dict[str, Any]:
        removed[:] = [host for host, helper in helpers.items() if helper == HELPER]
        return {host: one for host, one in helpers.items() if one != HELPER}

    _edit_helpers(path, change)
    return tuple(removed)


def _edit_helpers(
    path: str, change: Callable[[Dict[str, Any]], Dict[str, Any]]
) -> None:
    def edited(old: Optional[bytes]) -> Optional[bytes]:
        config = _parse(path, old or b"{}")  # docker takes an empty file, too
        helpers = config.get("credHelpers", {})
        if not isinstance(helpers, dict):
            raise UserConfigError(path, "must be an object.", "credHelpers")
        if not all(type(helper) in (str, type(None)) for helper in helpers.values()):
            reason = "must name a helper for each registry. Mend it first."
            raise UserConfigError(path, reason, "credHelpers")
        changed = change(helpers)
        if changed == helpers:
            return old
        config["credHelpers"] = changed
        if not changed:
            del config["credHelpers"]
        # As docker itself writes it.
        return json.dumps(config, indent="\t").encode()

    try:
        edit(path, edited)
    except ConfigError as error:
        failure = bare(error)  # its frames hold the passwords that docker keeps there
    else:
        return
    raise failure


def _parse(path: str, data: bytes) -> Dict[str, Any]:
    try:
        config = json.loads(data.decode(), parse_constant=_finite, parse_float=_finite)
    except UnicodeDecodeError:
        raise UserConfigError(path, "is not UTF-8. Mend it first.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        reason = f"is not JSON: {error.msg} (at {place}). Mend it first."
        raise UserConfigError(path, reason) from None
    except (ValueError, RecursionError):
        raise UserConfigError(path, "is not JSON. Mend it first.") from None
    if not isinstance(config, dict):
        raise UserConfigError(path, "is no JSON object. Mend it first.")
    # What some versions of Python read is deeper than what they write.
    if is_deeper(config, MAX_DEPTH):
        raise UserConfigError(path, "is nested too deeply to be changed.")
    return config


def _finite(text: str) -> float:
    number = float(text)
    if math.isfinite(number):
        return number
    raise ValueError(text)  # NaN, 1e999: written again, docker could not read it
