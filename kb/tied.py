"""`python -I -S tied.py PARENT COMMAND …`: become COMMAND, which the kernel kills when the process PARENT ends.

A process of its own, rather than code between fork and exec, since the caller may have threads. Linux only; elsewhere
the command runs untied, and the job's watcher ends it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, argv: list[str]) -> None:
    """Does not return, unless the command cannot be started."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was told
            sys.exit(128 + signal.SIGKILL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argv list, no shell
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
