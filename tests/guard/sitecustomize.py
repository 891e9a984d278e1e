"""Put on PYTHONPATH by the tests: in this process and every Python child, a connection that leaves the machine fails.

The wheels under test think they are online, so whatever would phone home does so here, and is seen.
"""

import os
import socket
import sys

_LOG = os.environ.get("KB_TEST_NETWORK_LOG")


def _local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in (None, "", "localhost", socket.gethostname()) or str(name).startswith(("127.", "::1", "0.0.0.0"))


def _refuse(what: str) -> None:
    if _LOG:
        with open(_LOG, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported this early
            file.write(f"{sys.argv[:3]} {what}\n")
    raise ConnectionRefusedError(f"a test tried to reach the network: {what}")


def _hook(event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not _local(address[0]):
            _refuse(f"{event} {address}")
    elif event == "socket.getaddrinfo" and not _local(args[0]):
        _refuse(f"{event} {args[0]!r}")


sys.addaudithook(_hook)
