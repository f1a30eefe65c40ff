"""What can be wrong with a login in etcd and the cluster around it; nothing is mended."""

from __future__ import annotations

from typing import Iterator, Mapping

from ._doctor import CHECKS, Check, Finding, Level, Patient
from ._etcd import EtcdStorage
from ._etcd_health import Health, space_of

PATIENCE = 4.0  # seconds, to ask all members

REPAIR = (
    "Compact, defragment, then disarm the alarm; and start etcd with "
    "--auto-compaction-retention."
)


def checks_of(storage: EtcdStorage) -> Mapping[str, Check]:
    """Make the table of checks for a login in etcd.

    Args:
        storage: Where it is; asked once.
    """
    health = storage.health(PATIENCE)
    place = storage.location

    def members(patient: Patient) -> Iterator[Finding]:
        yield from check_members(health, place)

    def space(patient: Patient) -> Iterator[Finding]:
        yield from check_space(health, place)

    def refresher(patient: Patient) -> Iterator[Finding]:
        who = health.holder
        if who is not None:
            yield Finding(Level.OK, f"{who} has the right to refresh.", place)

    return {
        "members": Check(members, "All answer."),
        "space": Check(space, "There is room."),
        "refresher": Check(refresher, "Nobody refreshes at this moment."),
        **{
            name: CHECKS[name]
            for name in ("login", "catalog", "clock", "settings", "plugins")
        },
    }


def check_members(health: Health, place: str) -> Iterator[Finding]:
    """Find out whether the members answer, and whether there is a majority."""
    if health.trouble:
        yield Finding(Level.ERROR, health.trouble, place)
    for member in health.members:
        if member.trouble:
            yield Finding(
                Level.WARNING,
                f"does not tell how it is: {member.trouble}",
                member.endpoint,
                "See whether it runs and can be reached, and whether the user may ask.",
            )
        else:
            leads = ", leads" if member.leads else ""
            yield Finding(
                Level.OK, f"answers (etcd {member.version}{leads}).", member.endpoint
            )
    named = len(health.members)
    if health.size is not None and health.size > named:
        yield Finding(
            Level.WARNING,
            f"the cluster has {health.size} members, the URL names {named} of them.",
            place,
            "Name all of them: who knows one only waits when that one is away.",
        )


def check_space(health: Health, place: str) -> Iterator[Finding]:
    """Find out whether the cluster takes what is written."""
    if health.alarms is None and health.answering:
        yield Finding(Level.OK, "the user may not ask for alarms; root may.", place)
    for alarm in health.alarms or ():
        yield Finding(Level.ERROR, f"the alarm {alarm} is raised.", place, REPAIR)
    for member in health.answering:
        yield Finding(
            Level.WARNING if member.is_nearly_full else Level.OK,
            f"uses {space_of(member)}.",
            member.endpoint,
            REPAIR if member.is_nearly_full else "",
        )
