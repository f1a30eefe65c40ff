"""The kernel's table of mounts: what a path lies on, and whether other hosts share it."""

from __future__ import annotations

import re
from typing import Iterable, List, NamedTuple, Optional, Tuple


class Mount(NamedTuple):
    """One mounted file system."""

    point: str
    kind: str
    source: str

    @property
    def is_network(self) -> bool:
        """Whether other hosts may have it mounted, too."""
        kind = self.kind.partition(".")[2] if "." in self.kind else self.kind
        return kind in NETWORK or bool(_REMOTE.match(self.source))


# The kinds, without the "fuse." before some of them.
NETWORK = frozenset([
    "9p", "acfs", "afs", "beegfs", "blobfuse", "blobfuse2", "ceph", "ceph-fuse", "cephfs",
    "cifs", "coda", "curlftpfs", "davfs", "davfs2", "fhgfs", "gcsfuse", "gfs", "gfs2",
    "glusterfs", "goofys", "gpfs", "gvfsd-fuse", "juicefs", "lizardfs", "lustre", "mfs",
    "moosefs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "rclone",
    "s3fs", "seaweedfs", "smb3", "smbfs", "smbnetfs", "sshfs", "vboxsf", "virtiofs",
    "vmhgfs-fuse",
])  # fmt: skip
_REMOTE = re.compile(r"//[^/]|[^/:]+:/|[^/@]+@[^/:]+:")  # //host/share, host:/path


def parse_mounts(text: str) -> List[Mount]:
    """Read the kernel's ``/proc/self/mountinfo``; what is no line of it is left out.

    Args:
        text: Its text; see proc(5).
    """
    mounts = []
    for line in text.splitlines():
        about, separator, of_kind = line.partition(" - ")
        fields, (kind, source) = about.split(" "), _two(of_kind.split(" "))
        if separator and len(fields) > 5 and kind:
            mounts.append(Mount(_unescaped(fields[4]), kind, _unescaped(source)))
    return mounts


def mount_of(mounts: Iterable[Mount], path: str) -> Optional[Mount]:
    """Find what a path lies on; of two mounts at one place the later one hides the other.

    Args:
        mounts: In the kernel's order.
        path: Absolute, without links.
    """
    found = None
    for mount in mounts:
        is_above = f"{path}/".startswith(f"{mount.point.rstrip('/')}/")
        if is_above and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _two(fields: List[str]) -> Tuple[str, str]:
    kind, source, *_ = [*fields, "", ""]
    return kind, source


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
