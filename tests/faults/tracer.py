"""Watch the system calls of a child, and kill it, fail one or shorten one.

The child and its threads stop at each call that counts (``seccomp`` and ``ptrace``), so
a fault hits exactly the call that it is meant for, whatever the machine is busy with. A
call that is to fail is not made at all, except ``close``, which closes in any case; one
that is to be short is made by the kernel with half of its size.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys
from typing import Collection, Dict, List, NamedTuple, Optional

from events import Event, event_of

TRACEME, PEEKUSER, POKEUSER, CONTINUE, SYSCALL, SETOPTIONS = 0, 3, 6, 7, 24, 0x4200
# Threads and forks are followed, nobody outlives the tracer, filters stop.
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x100000
SECCOMP_STOP = signal.SIGTRAP | 7 << 8
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
WALL = 0x40000000  # threads as well
RESULT, SIZE, NUMBER = 10 * 8, 12 * 8, 15 * 8  # rax, rdx, orig_rax

# What asks or changes something outside of the process; all of it can fail.
OUTSIDE = {
    **{0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat"},
    **{6: "lstat", 17: "pread64", 18: "pwrite64", 21: "access", 41: "socket"},
    **{42: "connect", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg"},
    **{48: "shutdown", 49: "bind", 54: "setsockopt", 73: "flock", 74: "fsync"},
    **{75: "fdatasync", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir"},
    **{86: "link", 87: "unlink", 88: "symlink", 89: "readlink", 90: "chmod"},
    **{91: "fchmod", 217: "getdents64", 257: "openat", 258: "mkdirat"},
    **{262: "newfstatat", 263: "unlinkat", 264: "renameat", 265: "linkat"},
    **{267: "readlinkat", 268: "fchmodat", 280: "utimensat", 316: "renameat2"},
    **{332: "statx", 452: "fchmodat2"},
}
QUESTIONS = {
    name
    for name in OUTSIDE.values()
    if name in ("access", "newfstatat", "statx", "getdents64")
    or name.endswith(("stat", "readlink", "readlinkat"))
}
# Memory, waiting, and questions in which nothing changes.
UNTOUCHED = {
    *(number for number, name in OUTSIDE.items() if name in QUESTIONS),
    *{7, 8, 9, 10, 11, 12, 23, 24, 25, 28, 35, 39, 51, 52, 55, 61, 63, 72, 79},
    *{96, 98, 102, 104, 107, 108, 110, 186, 201, 202, 204, 228, 229, 230, 232},
    *{270, 271, 281, 302, 318, 324, 334},
}


class Fault(NamedTuple):
    """What is to happen at the call of a number, counted from 1.

    Args:
        kind: ``kill``, ``interrupt``, ``short`` or the name of an error; empty for
            nothing.
        when: At which of the calls.
        outside: Whether only calls to the outside count, else all but ``UNTOUCHED``.
        record: Whether to record what is done to files.
    """

    kind: str = ""
    when: int = 0
    outside: bool = False
    record: bool = False


_libc = ctypes.CDLL(None, use_errno=True)
CLOSE = 3

_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def works_here() -> bool:
    """Whether this machine can be traced on."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _libc.ptrace(TRACEME, 0, None, None) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


def consent(outside: bool) -> None:
    """Be traced by the parent from now on, and stop until it goes on.

    Args:
        outside: Whether calls to the outside count, else all but ``UNTOUCHED``.
    """
    _ptrace(TRACEME, 0)
    pause()
    _stop_at(OUTSIDE if outside else UNTOUCHED, listed=outside)


def pause() -> None:
    """Stop until the parent goes on."""
    os.kill(os.getpid(), signal.SIGSTOP)


class Tracing:
    """A child that has called ``consent`` or is about to.

    Attributes:
        calls: Names of the calls that counted, of the last ``count``.
        events: What they did to files, if that is to be recorded.
    """

    def __init__(self, child: int) -> None:
        self.calls: List[str] = []
        self.events: List[Event] = []
        self._child = child
        self._fault: Optional[Fault] = None
        os.waitpid(child, 0)
        _ptrace(SETOPTIONS, child, OPTIONS)

    def count(self, fault: Fault) -> bool:
        """Let it go on until its next pause, its calls counted; see ``go_on``."""
        self.calls, self.events, self._fault = [], [], fault
        try:
            return self.go_on()
        finally:
            self._fault = None

    def go_on(self) -> bool:
        """Let it go on until its next pause; tell whether it lives."""
        _ptrace(CONTINUE, self._child)
        while True:
            thread, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                is_first = thread != self._child  # a thread begins with one
                if os.WSTOPSIG(status) == signal.SIGSTOP and not is_first:
                    return True
                self._let_go_on(thread, status)
            elif thread == self._child:
                return False

    def _let_go_on(self, thread: int, status: int) -> None:
        number = os.WSTOPSIG(status)
        following, deliver = CONTINUE, 0
        if status >> 8 == SECCOMP_STOP:
            following = self._at_call(thread)
        elif number == signal.SIGTRAP | 0x80:  # the end of a close that is to fail
            self._fail(thread)
        elif number not in (signal.SIGTRAP, signal.SIGSTOP):
            deliver = number
        _ptrace(following, thread, deliver, gone=True)

    def _at_call(self, thread: int) -> int:
        if self._fault is None:
            return CONTINUE
        call = _peek(thread, NUMBER)
        self.calls.append(OUTSIDE.get(call, str(call)))
        if len(self.calls) == self._fault.when:
            return self._strike(self._fault.kind, thread, call)
        if self._fault.record:
            self._record(thread)
        return CONTINUE

    def _strike(self, kind: str, thread: int, call: int) -> int:
        """Do what is to be done, and tell how the thread is to go on."""
        if kind == "kill":
            os.kill(self._child, signal.SIGKILL)
        elif kind == "interrupt":
            os.kill(self._child, signal.SIGINT)
        elif kind == "short":
            _ptrace(POKEUSER, thread, max(_peek(thread, SIZE) // 2, 1), SIZE)
        elif call == CLOSE:
            return SYSCALL
        else:
            _ptrace(POKEUSER, thread, -1, NUMBER)
            self._fail(thread)
        return CONTINUE

    def _fail(self, thread: int) -> None:
        assert self._fault is not None
        _ptrace(POKEUSER, thread, -_number_of(self._fault.kind), RESULT)

    def _record(self, thread: int) -> None:
        name = self.calls[-1]
        event = event_of(thread, name, lambda address: _peek(thread, address))
        if event is not None:
            self.events.append(event)


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint16), ("first", ctypes.c_void_p)]


def _stop_at(numbers: Collection[int], *, listed: bool) -> None:
    """Stop for the tracer at the calls that are listed, or at all others."""
    stop, go = 0x7FF00000, 0x7FFF0000
    if not listed:
        stop, go = go, stop
    steps = [(0x20, 0, 0, 0)]  # load the number of the call
    for left, number in zip(range(len(numbers), 0, -1), numbers):
        steps.append((0x15, left, 0, number))  # if equal, jump to the last step
    steps += [(0x06, 0, 0, go), (0x06, 0, 0, stop)]
    program = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    _libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    given = _Program(len(steps), ctypes.addressof(program))
    if _libc.prctl(SECCOMP, FILTER, ctypes.byref(given), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def _peek(thread: int, address: int) -> int:
    # The kernel's own call puts the word where the last argument says.
    word = ctypes.c_long()
    _libc.syscall(101, PEEKUSER, thread, address, ctypes.byref(word))
    return word.value


def _number_of(error: str) -> int:
    return {name: number for number, name in errno.errorcode.items()}[error]


def _ptrace(
    request: int, pid: int, data: int = 0, address: int = 0, *, gone: bool = False
) -> None:
    if _libc.ptrace(request, pid, address or None, data or None) == -1:
        number = ctypes.get_errno()
        if not (gone and number == errno.ESRCH):  # killed in this very moment
            raise OSError(number, os.strerror(number))


def open_files(pid: int) -> Dict[str, str]:
    """The open files of a process, and what each is."""
    folder = f"/proc/{pid}/fd"
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
