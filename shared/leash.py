"""Run a command that ends when its parent does, also by kill -9 of the parent.

A script of its own, so that no Python runs between fork and exec of a program with threads, and so that the change of
user comes before the tie (Linux forgets the tie on a change of user).

Usage: python leash.py PARENT_PID SIGNAL UID|- GID|- native|watchdog COMMAND [ARGUMENT …]

``native`` asks the Linux kernel for the signal; ``watchdog``, for other systems, leaves a small process that waits for
the end of standard input, which the parent holds open. A byte on it means: the command ended, let go.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 126


def main(arguments: list[str]) -> None:
    parent, signal, uid, gid, tie, *command = arguments
    try:
        if uid != "-":
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        if tie == "native":
            _tie(int(signal))
        else:
            _leave_watchdog(int(signal))
        if os.getppid() != int(parent):
            return  # the parent ended before the tie
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror or error}", file=sys.stderr)
        os._exit(CANNOT_RUN)


def _tie(signal: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the parent-death signal")


def _leave_watchdog(signal: int) -> None:
    """Forks twice, so that the command never sees a child that it does not know."""
    target = os.getpid()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    if os.read(0, 1) == b"":
        os.kill(target, signal)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
