"""The door: which paths exist, who comes in, headers, language; over a real server."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio import networking

from tests.ui.conftest import a_core, free_port
from ui import auth
from ui.address import Address
from ui.app import launch
from ui.auth import parse_login
from ui.web import SESSION_COOKIE

PAGES = ["/", "/zh"]
OPTIONS = ["", "base", 50, "", 0.2, 1024]  # what the fields of the chat hold at first


def directives(response: httpx.Response) -> dict[str, str]:
    return dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))


@pytest.mark.parametrize("path", [*PAGES, "/login", "/nothing", "/ui/page.js", "/theme.css", "/gradio_api/info"])
def test_every_answer_has_the_headers(served: SimpleNamespace, path: str) -> None:
    response = httpx.get(served.url + path, headers={"accept-language": "en"})
    policy = directives(response)
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["object-src"] == "'none'"
    assert policy["base-uri"] == "'self'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in policy["script-src"]
    assert "*" not in response.headers["content-security-policy"]
    assert "http" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(("path", "lang"), [("/", "en"), ("/zh", "zh-CN")])
def test_the_page_names_its_language_and_asks_no_other_host(served: SimpleNamespace, path: str, lang: str) -> None:
    response = httpx.get(served.url + path, headers={"accept-language": "en"})
    assert response.status_code == 200
    assert f'<html lang="{lang}"' in response.text
    head = response.text.partition("<script")[0]
    assert "http://" not in head.replace(served.url, "")
    assert "https://" not in head
    assert response.headers["cache-control"] == "no-store"
    nonce = directives(response)["script-src"].partition("'nonce-")[2].rstrip("'")
    assert nonce
    assert response.text.count("<script") == response.text.count(f'<script nonce="{nonce}"')
    assert nonce not in httpx.get(served.url + path, headers={"accept-language": "en"}).text


def test_the_browser_chooses_the_language_and_the_switch_wins(served: SimpleNamespace) -> None:
    with httpx.Client(base_url=served.url, headers={"accept-language": "zh-CN,zh;q=0.9"}) as client:
        response = client.get("/?c=abc")
        assert response.status_code == 303
        assert response.headers["location"] == "./zh?c=abc"
        assert client.get("/zh?lang=en&c=abc").headers["location"] == "./?c=abc"
        assert client.get("/").status_code == 200, "the cookie wins over the browser"
        assert client.get("/?lang=zh").headers["location"] == "./zh"
        assert client.get("/").headers["location"] == "./zh"
        assert client.get("/?lang=xx").headers["location"] == "./zh"
    assert httpx.get(served.url + "/?lang=//evil.example", headers={"accept-language": "en"}).headers["location"] == "./"


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/runs",
        "/gradio_api/deep_link",
        "/gradio_api/vibe-code/",
        "/gradio_api/proxy=https://evil.example/",
        "/gradio_api/file=https://evil.example/x",
        "/svelte/x",
        "/manifest.json",
        "/gradio_api/custom_component/x/client/y/z",
        "/gradio_api/call/ask",
        "/gradio_api/dev/reload",
        "/ui/../app.py",
        "/ui/nothing",
    ],
)
def test_what_the_page_does_not_need_is_not_there(served: SimpleNamespace, path: str) -> None:
    for method in ("GET", "POST"):
        assert httpx.request(method, served.url + path).status_code in (404, 405)


def test_files_may_be_sent_by_the_page_only(served: SimpleNamespace) -> None:
    files = {"files": ("a.md", b"# a")}
    assert httpx.post(served.url + "/gradio_api/upload", files=files).status_code == 200
    assert (
        httpx.post(served.url + "/gradio_api/upload", files=files, headers={"origin": "https://evil.example"}).status_code == 403
    )


def test_no_file_can_be_fetched(served: SimpleNamespace) -> None:
    secret = served.core.settings.data_base / "state.db"
    assert served.core.state
    assert secret.exists()
    for path in (secret, "/etc/passwd", f"{secret.parent}/./state.db", "ui/app.py"):
        for form in (
            f"/gradio_api/file={path}",
            f"/file={path}",
            f"/gradio_api/file/{path}",
            f"/gradio_api//file={path}",
            f"/assets/..{path}",
            f"/assets/%2e%2e/%2e%2e{path}",
            f"/static/..%2f..%2f{path}",
            f"/ui/..{path}",
        ):
            response = httpx.get(served.url + form)
            assert response.status_code in (401, 403, 404, 405), form
            assert b"SQLite" not in response.content
    own = {str(served.core.settings.data_base / name) for name in ("kbs", "models", "jobs", "state.db")}
    assert own <= set(served.blocks.blocked_paths), "the second lock"


def test_only_this_computers_names_are_answered(served: SimpleNamespace) -> None:
    port = served.url.rpartition(":")[2]
    for host, status in (
        (f"localhost:{port}", 200),
        (f"127.0.0.1:{port}", 200),
        (f"evil.example:{port}", 421),
        ("evil.example", 421),
        ("", 421),
    ):
        assert httpx.get(served.url, headers={"host": host, "accept-language": "en"}).status_code == status


def test_other_sites_cannot_post(served: SimpleNamespace) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert httpx.post(served.url + "/gradio_api/queue/join", json={}, headers=headers).status_code == 403
    assert httpx.post(served.url + "/gradio_api/queue/join", json={}, headers={"origin": served.url}).status_code == 422


def test_static_files_are_kept_by_the_browser_only_with_their_hash(served: SimpleNamespace) -> None:
    page = httpx.get(served.url, headers={"accept-language": "en"}).text
    version = page.partition("style.css?v=")[2].partition('"')[0]
    assert "immutable" in httpx.get(f"{served.url}/ui/style.css?v={version}").headers["cache-control"]
    assert httpx.get(f"{served.url}/ui/style.css").headers["cache-control"] == "no-cache"
    assert httpx.get(f"{served.url}/favicon.ico").headers["content-type"] == "image/svg+xml"


# Login


def log_in(client: httpx.Client, password: str, user: str = "ann") -> httpx.Response:
    return client.post("/login", data={"user": user, "password": password})


def test_a_shared_page_loads_nothing_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networking, "setup_tunnel", lambda **_: "https://abc.gradio.live")
    monkeypatch.setattr(auth.Brakes, "_left", lambda self, key, now: 0.0)
    address = Address(port=free_port(), share=True, login=parse_login("ann:correct horse"))
    blocks = launch(a_core(tmp_path, public=True), address, block=False)
    with httpx.Client(base_url=address.url, headers={"host": "abc.gradio.live", "accept-language": "en"}) as client:
        assert client.get("/").headers["location"] == "./login"
        client.cookies.set(SESSION_COOKIE, log_in(client, "correct horse").cookies[SESSION_COOKIE])
        page = client.get("/").text
        sent = client.post("/gradio_api/upload", files={"files": ("a.md", b"# a")}).status_code
    blocks.close()
    assert sent == 404, "files are sent to a page of this computer only"
    assert "gradio-app" in page
    assert "amazonaws" not in page


@pytest.fixture
def free(guarded: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The guarded app with brakes that have forgotten what earlier tests did."""
    monkeypatch.setattr(auth, "_FORGOTTEN", -1.0)
    monkeypatch.setattr(auth.Brakes, "_left", lambda self, key, now: 0.0)
    return guarded


def test_without_a_login_nothing_is_seen(guarded: SimpleNamespace) -> None:
    with httpx.Client(base_url=guarded.url, headers={"accept-language": "en"}) as client:
        assert client.get("/").headers["location"] == "./login"
        for path in (
            "/config",
            "/gradio_api/info",
            "/gradio_api/queue/data?session_hash=x",
            "/gradio_api/heartbeat/x",
            "/assets/x.js",
        ):
            assert client.get(path).status_code == 401
        for path in ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset"):
            assert client.post(path, json={"fn_index": 0, "data": [], "session_hash": "x"}).status_code == 401
        page = client.get("/login")
        assert page.status_code == 200
        assert "Password" in page.text
        assert "noodles" not in page.text
        client.cookies.set(SESSION_COOKIE, "guess")
        assert client.get("/").status_code == 303
    assert "密码" in httpx.get(guarded.url + "/login", headers={"accept-language": "zh"}).text


def test_log_in_and_out(free: SimpleNamespace) -> None:
    with httpx.Client(base_url=free.url, headers={"accept-language": "en"}) as client:
        wrong = log_in(client, "<script>wrong")
        assert wrong.status_code == 401
        assert "User or password is wrong." in wrong.text
        assert "<script>" not in wrong.text
        right = log_in(client, "correct horse")
        assert right.status_code == 303
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "InternKB" in client.get("/").text
        assert client.get("/gradio_api/info").status_code == 200
        token = client.cookies[SESSION_COOKIE]
        client.get("/logout")
        client.cookies.set(SESSION_COOKIE, token)
        assert client.get("/").status_code == 303, "the token is worth nothing afterwards"


def test_guessing_is_braked_and_the_right_password_too(guarded: SimpleNamespace) -> None:
    with httpx.Client(base_url=guarded.url, headers={"accept-language": "en"}) as client:
        answers = [log_in(client, f"guess {n}").status_code for n in range(30)]
        assert answers.count(401) <= 5
        assert answers.count(429) >= 25
        braked = log_in(client, "correct horse")
        assert braked.status_code == 429
        assert "Try again in" in braked.text
        assert SESSION_COOKIE not in client.cookies
        assert log_in(client, "correct horse", user="another").status_code == 429, "the address waits, whatever the name"


def test_a_login_form_is_small(free: SimpleNamespace) -> None:
    assert httpx.post(free.url + "/login", content=b"x" * 5000).status_code == 413
    assert httpx.post(free.url + "/login", content=b"").status_code in (401, 413)
    assert (
        httpx.post(
            free.url + "/login", data={"user": "ann", "password": "correct horse"}, headers={"origin": "https://evil.example"}
        ).status_code
        == 403
    )


# Handlers by number


def call(client: httpx.Client, fn: int, data: list[Any], session: str) -> dict[str, Any]:
    """Run a handler the way the page's script does, and return what came of it."""
    body = {"fn_index": fn, "data": data, "session_hash": session, "event_data": None, "trigger_id": None}
    joined = client.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return {"refused": joined.status_code, "text": joined.text}
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            message = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                return message
    return {}


@pytest.mark.parametrize("junk", ["../../etc/passwd", "<script>alert(1)</script>", None, {"path": "/etc/passwd"}])
def test_every_handler_survives_junk(served: SimpleNamespace, junk: Any) -> None:
    """Handlers that the page hides are called here by number, with values the page would never send."""

    def text_of(fn: Any) -> str:
        page = f"junk {type(junk)} {threading.get_ident()}"  # a session each: making one takes Gradio most of a call's time
        return json.dumps(call(client, fn._id, [junk] * len(fn.inputs), page))

    with httpx.Client(base_url=served.url, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(text_of, served.blocks.fns.values()))
    for text in texts:
        assert text != "{}"
        assert "Traceback" not in text
        assert "root:" not in text
        assert str(served.core.settings.data_base) not in text
        assert "<script>alert" not in text or '"success": false' in text
    assert served.core.added == []


def test_no_handler_is_offered_as_an_api(served: SimpleNamespace) -> None:
    info = httpx.get(served.url + "/gradio_api/info").json()
    assert info == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert all(fn.api_visibility == "private" for fn in served.blocks.fns.values())


def test_nothing_blocks_the_others(served: SimpleNamespace) -> None:
    assert served.blocks.default_config
    for fn in served.blocks.fns.values():
        assert fn.concurrency_limit is None or fn.concurrency_limit == "default" or fn.concurrency_limit >= 8
    assert served.blocks._queue.default_concurrency_limit >= 8


def test_slow_answers_do_not_hold_up_others(served: SimpleNamespace) -> None:
    """Gradio answers one at a time unless it is told otherwise."""
    asks = next(fn._id for fn in served.blocks.fns.values() if fn.name == "ask")
    served.core.pause = 0.1
    started = time.monotonic()
    with httpx.Client(base_url=served.url, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(
                lambda n: call(client, asks, ["How long to boil the noodles?", None, "default", *OPTIONS], f"slow{n}"),
                range(8),
            )
        )
    served.core.pause = 0.0
    assert all(result["success"] for result in done)
    assert time.monotonic() - started < 5  # one after the other they would take 8
