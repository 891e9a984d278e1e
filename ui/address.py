"""Where the page is served and to whom; checked before anything heavy is loaded."""

import errno
import ipaddress
import socket
from dataclasses import dataclass

from kb import SettingsError
from ui.auth import Login

LOCAL_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is served and to whom."""

    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    login: Login | None = None

    @property
    def public(self) -> bool:
        return self.share or not (self.host == "localhost" or _is(self.host, "is_loopback"))

    @property
    def url(self) -> str:
        host = "127.0.0.1" if _is(self.host, "is_unspecified") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def check(self) -> None:
        """Raises SettingsError: open to other computers without a password, or the port is taken."""
        if self.public and self.login is None:
            what = "--share" if self.share else f"--host {self.host}"
            raise SettingsError(f"{what} opens the page to other computers: add --auth USER:PASSWORD.")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
                raise SettingsError(f"{self.host}:{self.port} {reason}: choose another with --port.") from error


def _is(host: str, what: str) -> bool:
    try:
        return bool(getattr(ipaddress.ip_address(host), what))
    except ValueError:  # a name: it may point anywhere
        return False
