"""Who may use the page: one user from --auth, brakes on guessing the password, and whose a request is."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

import kb

LOCAL = "local"  # owner of everything while nobody has to log in
SESSION_SECONDS = 7 * 24 * 3600
_FREE = 4  # wrong passwords before the brakes set in
_LONGEST = 300.0  # seconds a guesser waits at most
_FORGOTTEN = 1800.0  # seconds without a wrong password until the count starts anew
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Login:
    """The one user there is."""

    user: str
    digest: bytes

    def check(self, user: str, password: str) -> bool:
        """In constant time, and as long for a wrong name as for a wrong password."""
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        same_password = hmac.compare_digest(_digest(password), self.digest)
        return same_user and same_password


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()


def parse_login(text: str) -> Login:
    """`USER:PASSWORD` from the command line.

    Raises:
        SettingsError: it is not of that form, or the password is too short to mean anything.
    """
    user, colon, password = text.partition(":")
    if not colon or not re.fullmatch(r"[^\s:]{1,64}", user):
        raise kb.SettingsError("--auth wants USER:PASSWORD, with a user name of up to 64 characters without spaces.")
    if len(password) < 8:
        raise kb.SettingsError("--auth wants a password of at least 8 characters after the colon.")
    return Login(user, _digest(password))


class Brakes:
    """Slows guessing: after a few wrong passwords, each further one doubles the wait, for the address and for the user."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}  # key → (how many, when the last)

    def wait(self, *keys: str) -> float:
        """Seconds until the next attempt is looked at; 0 if now. An attempt before that counts for nothing, right or wrong."""
        now = time.monotonic()
        return max((self._left(key, now) for key in keys), default=0.0)

    def failed(self, *keys: str) -> None:
        now = time.monotonic()
        for key in keys:
            count, last = self._failures.pop(key, (0, now))
            self._failures[key] = (1 if now - last > _FORGOTTEN else count + 1, now)
        while len(self._failures) > _REMEMBERED:
            self._failures.pop(next(iter(self._failures)))

    def passed(self, *keys: str) -> None:
        for key in keys:
            self._failures.pop(key, None)

    def _left(self, key: str, now: float) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        if count < _FREE:
            return 0.0
        return max(0.0, last + min(_LONGEST, 2.0 ** min(count - _FREE + 1, 30)) - now)


class Sessions:
    """Who is logged in. Kept in memory: a restart asks for the password again."""

    def __init__(self) -> None:
        self._users: dict[bytes, tuple[str, float]] = {}  # hash of the token → (user, when it ends)

    def start(self, user: str) -> str:
        now = time.time()
        self._users = {key: value for key, value in self._users.items() if value[1] > now}
        token = secrets.token_urlsafe(32)
        self._users[_digest(token)] = (user, now + SESSION_SECONDS)
        return token

    def user(self, token: str | None) -> str | None:
        user, ends = self._users.get(_digest(token or ""), (None, 0.0))
        return user if ends > time.time() else None

    def end(self, token: str | None) -> None:
        self._users.pop(_digest(token or ""), None)


def owner(request: Any) -> str:
    """Whose conversations a request may see."""
    return getattr(request, "username", None) or LOCAL


def tab_of(request: Any) -> tuple[str, str]:
    """Which browser tab of whom a request is from. The tab names itself, so its name alone proves nothing."""
    return owner(request), getattr(request, "session_hash", None) or ""
