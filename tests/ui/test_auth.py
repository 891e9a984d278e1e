"""One user, brakes on guessing, sessions that end."""

import pytest

from kb import SettingsError
from ui import auth
from ui.auth import Brakes, Sessions, parse_login


def test_a_login_is_user_and_password() -> None:
    login = parse_login("ann:pass:word with colon")
    assert login.check("ann", "pass:word with colon")
    for user, password in (("ann", "pass"), ("bob", "pass:word with colon"), ("", ""), ("ann", ""), ("ünï", "\ud800")):
        assert not login.check(user, password)
    assert "pass" not in repr(login)


@pytest.mark.parametrize("text", ["", "ann", "ann:", ":long enough", "ann:short", "two words:long enough"])
def test_a_bad_login_is_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_login(text)
    assert len(str(caught.value).splitlines()) == 1
    assert text.partition(":")[2] not in str(caught.value) or not text.partition(":")[2]


def test_brakes_double_and_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(auth.time, "monotonic", lambda: now)
    brakes = Brakes()
    waits = []
    for _ in range(12):
        waits.append(brakes.wait("address 1", "user ann"))
        brakes.failed("address 1", "user ann")
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:8] == [2, 4, 8, 16]
    assert max(waits) <= 300
    assert brakes.wait("address 2", "user ann") > 0, "another address does not get round it"
    assert brakes.wait("address 1", "user bob") > 0, "another name does not get round it"
    assert brakes.wait("address 2", "user bob") == 0
    now += 5000
    assert brakes.wait("address 1", "user ann") == 0
    brakes.failed("address 1")
    assert brakes.wait("address 1") == 0, "the count starts anew"


def test_brakes_hold_a_guesser_to_a_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tried = 0.0, 0
    monkeypatch.setattr(auth.time, "monotonic", lambda: now)
    brakes = Brakes()
    while now < 24 * 3600:
        if brakes.wait("address 1", "user ann") == 0:
            brakes.failed("address 1", "user ann")
            tried += 1
        now += 1
    assert tried < 400  # a day of guessing


def test_brakes_stay_small() -> None:
    brakes = Brakes()
    for n in range(auth._REMEMBERED + 100):
        brakes.failed(f"address {n}")
    assert len(brakes._failures) == auth._REMEMBERED


def test_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    token = sessions.start("ann")
    assert sessions.user(token) == "ann"
    assert sessions.user(None) is None
    assert sessions.user("guess") is None
    assert token not in repr(sessions.__dict__), "only hashes are kept"
    sessions.end(token)
    assert sessions.user(token) is None
    token = sessions.start("ann")
    later = auth.time.time() + auth.SESSION_SECONDS + 1
    monkeypatch.setattr(auth.time, "time", lambda: later)
    assert sessions.user(token) is None
