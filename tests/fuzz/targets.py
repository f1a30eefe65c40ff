"""What reads bytes that somebody else may have written, each as ``bytes -> None``.

A target lets only the errors through that are documented, and holds what was read: all
of it can be looked at, shown, written and read back equal. Anything else is a finding.
``TARGETS`` has them by name, and so is the folder of each one's corpus called.
"""

from __future__ import annotations

from typing import Callable, Dict

import disk_targets as disk
import wire_targets as wire
from looks import memory, work_in

__all__ = ["TARGETS", "memory", "work_in"]

TARGETS: Dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        disk.session,
        disk.catalog,
        disk.user_config,
        disk.setting,
        disk.docker_config,
        disk.tool_file,
        disk.tool_row,
        disk.holder,
        disk.mounts,
        wire.payload,
        wire.token_answer,
        wire.passed_config,
        wire.claims,
        wire.url,
        wire.query,
        wire.callback,
    )
}
