"""How a cluster is: its members, alarms and space, and who refreshes."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ._deadline import Deadline
from ._errors import StorageError
from ._etcd_client import EtcdClient
from ._etcd_keys import after
from ._etcd_refresher import describe
from ._etcd_url import Endpoint

PATIENCE = 1.0  # seconds for each member
USUAL_QUOTA = 2 << 30  # bytes, where a server is told nothing else
FULL = 0.8  # of the quota


class Member(NamedTuple):
    """What a member says of itself.

    Args:
        endpoint: Where it is asked.
        trouble: Why it says nothing; empty if it does.
        version: Of its program.
        leads: Whether it is the leader.
        size: Bytes of its database.
        quota: Bytes that it may have, ``None`` where it does not tell (before etcd 3.6).
    """

    endpoint: str
    trouble: str = ""
    version: str = ""
    leads: bool = False
    size: int = 0
    quota: Optional[int] = None

    @property
    def is_nearly_full(self) -> bool:
        """Whether it soon takes no more."""
        return self.size > FULL * (self.quota or USUAL_QUOTA)


class Health(NamedTuple):
    """How a cluster is.

    Args:
        members: Those that the URL names.
        size: How many the cluster has, ``None`` where nobody tells.
        alarms: Names of etcd's alarms, ``None`` where nobody tells.
        holder: Who refreshes, in words, ``None`` for nobody.
        trouble: Why the login's keys cannot be read; empty if they can.
    """

    members: Tuple[Member, ...]
    size: Optional[int]
    alarms: Optional[Tuple[str, ...]]
    holder: Optional[str]
    trouble: str

    @property
    def answering(self) -> List[Member]:
        """The members that answer."""
        return [member for member in self.members if not member.trouble]


def health_of(client: EtcdClient, refresher: bytes, deadline: Deadline) -> Health:
    """Ask a cluster how it is.

    Args:
        client: Asks it.
        refresher: The key of who refreshes.
        deadline: Of the whole call.
    """
    members = tuple(_member(client, one, deadline) for one in client.url.endpoints)
    holder, trouble = None, ""
    try:
        found = client.range(refresher, after(refresher), deadline)
        holder = next((describe(one.value) for one in found.values()), None)
    except StorageError as error:
        trouble = error.reason
    known = _told(client, "cluster/member/list", {}, "members", deadline)
    alarms = _told(client, "maintenance/alarm", {"action": "GET"}, "alarms", deadline)
    return Health(
        members,
        None if known is None else len(known),
        None if alarms is None else tuple(str(one.get("alarm")) for one in alarms),
        holder,
        trouble,
    )


def in_words(health: Health) -> Mapping[str, str]:
    """Say it for ``status``: words by heading."""
    answering = health.answering
    leader = next((one.endpoint for one in answering if one.leads), None)
    leads = "" if leader is None else f", {leader} leads"
    said = {"Members": f"{len(answering)} of {len(health.members)} answer{leads}"}
    if health.trouble:
        return {**said, "Trouble": health.trouble}
    said["Refresher"] = health.holder or "nobody"
    if health.alarms:
        said["Alarms"] = ", ".join(health.alarms)
    if answering:
        said["Space"] = space_of(max(answering, key=lambda one: one.size))
    return said


def space_of(member: Member) -> str:
    """Say how much space a member uses, and of how much."""
    quota = (
        f"a quota of {_mebibytes(member.quota)}"
        if member.quota
        else f"a quota that is not told, {_mebibytes(USUAL_QUOTA)} by default"
    )
    return f"{_mebibytes(member.size)} of {quota}"


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def _member(client: EtcdClient, endpoint: Endpoint, deadline: Deadline) -> Member:
    patience = Deadline(min(PATIENCE, deadline.remaining()))
    try:
        said = client.ask_member(endpoint, "maintenance/status", patience)
        identity = said["header"]["member_id"]
        quota = said.get("dbSizeQuota")
        return Member(
            str(endpoint),
            version=str(said["version"]),
            leads=said.get("leader") == identity,
            size=int(said["dbSize"]),
            quota=None if quota is None else int(quota),
        )
    except StorageError as error:
        return Member(str(endpoint), error.reason)
    except (KeyError, TypeError, ValueError):
        return Member(str(endpoint), "what answers is no etcd.")


def _told(
    client: EtcdClient,
    path: str,
    payload: Mapping[str, Any],
    field: str,
    deadline: Deadline,
) -> Optional[List[Dict[str, Any]]]:
    with contextlib.suppress(StorageError):
        found = client.ask(path, payload, deadline).get(field, [])
        if isinstance(found, list) and all(isinstance(one, dict) for one in found):
            return found
    return None
