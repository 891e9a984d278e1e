"""Everything between the socket and Gradio: which paths there are, who may come in, the language, the headers.

Gradio serves far more than this page needs (file uploads, a proxy, /file=, API docs …). What is not on the list here
does not exist.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from ui.auth import SESSION_SECONDS, Brakes, Login, Sessions
from ui.core import STATIC
from ui.render import el, icon, join
from ui.words import LANGUAGES, WORDS, Language, Words, language_or, preferred

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES: dict[str, Language] = {"/": "en", "/zh": "zh"}
USER_KEY = "internkb.user"  # in the ASGI scope, for Gradio's auth_dependency
SESSION_COOKIE = "internkb-session"
LANGUAGE_COOKIE = "internkb-lang"

# What the page asks of Gradio; a new component may need a new line here.
_GRADIO_PATHS = re.compile(
    r"/(assets/.*|static/.*|theme\.css|robots\.txt|config/?"
    r"|gradio_api/(queue/(join|data)/?|heartbeat/[\w-]+|cancel|reset/?|info/?|startup-events|theme\.css|app_id/?))\Z"
)
_UPLOAD_PATHS = re.compile(r"/gradio_api/upload(_progress)?/?\Z")
_OPEN_PATHS = frozenset(("/login", "/robots.txt", "/gradio_api/startup-events"))  # need no login
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'nonce-{nonce}'",
        "style-src 'self' 'unsafe-inline'",  # Gradio sets style attributes everywhere
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-src 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class Door:
    """The one middleware. `hosts`: the Host headers that are answered, or None for any. `uploads`: files may be sent."""

    def __init__(self, app: App, login: Login | None = None, hosts: Iterable[str] | None = None, uploads: bool = False) -> None:
        self.app = app
        self.login = login
        self.uploads = uploads
        self.hosts = frozenset(hosts) if hosts is not None else None
        self.sessions = Sessions()
        self.brakes = Brakes()
        self.files = {f"/ui/{path.name}": path.read_bytes() for path in STATIC.iterdir() if path.suffix in _TYPES}
        self.version = hashlib.sha256(b"".join(self.files.values())).hexdigest()[:12]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the page uses no websockets
            return None
        nonce = secrets.token_urlsafe(16)
        request = Request(scope, receive)
        response = self._refused(request) or self._static(request) or await self._login(request) or self._language(request)
        send = self._with_headers(send, nonce, forever=request.url.path.startswith("/assets/"))
        if response is not None:
            return await response(scope, receive, send)
        if request.url.path in PAGES and request.method == "GET":
            return await self._page(scope, receive, send, nonce)
        return await self.app(scope, receive, send)

    # What is there, and for whom

    def _refused(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        # A name that points here from elsewhere (DNS rebinding) would let a foreign page read answers.
        if self.hosts is not None and _hostname(host) not in self.hosts:
            return PlainTextResponse("This address is not served here.", 421)
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if request.method not in ("GET", "HEAD") and (foreign or request.headers.get("sec-fetch-site") == "cross-site"):
            return PlainTextResponse("Requests from other sites are refused.", 403)
        path = request.url.path
        known = path in PAGES or path in ("/login", "/logout", "/favicon.ico") or path in self.files
        known = known or (self.uploads and bool(_UPLOAD_PATHS.match(path)))
        return None if known or _GRADIO_PATHS.match(path) else PlainTextResponse("Not found.", 404)

    def _static(self, request: Request) -> Response | None:
        path = "/ui/favicon.svg" if request.url.path == "/favicon.ico" else request.url.path
        if path not in self.files:
            return None
        kind = _TYPES[path[path.rindex(".") :]]
        # The address of every file carries a hash of all of them, so it may be kept for long.
        age = "public, max-age=604800, immutable" if request.query_params.get("v") == self.version else "no-cache"
        return Response(self.files[path], media_type=kind, headers={"cache-control": age})

    async def _login(self, request: Request) -> Response | None:
        path = request.url.path
        if self.login is None:
            return RedirectResponse("./", 303) if path in ("/login", "/logout") else None
        token = request.cookies.get(SESSION_COOKIE)
        user = self.sessions.user(token)
        if path == "/logout":
            self.sessions.end(token)
            response: Response = RedirectResponse("./login", 303)
            response.delete_cookie(SESSION_COOKIE)
            return response
        if path == "/login":
            return await self._try(request) if request.method == "POST" else self._login_page(request)
        if user is not None:
            request.scope[USER_KEY] = user
            return None
        if path in _OPEN_PATHS:
            return None
        return RedirectResponse("./login", 303) if path in PAGES else PlainTextResponse("Log in first.", 401)

    async def _try(self, request: Request) -> Response:
        assert self.login is not None
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > 4096:
            return PlainTextResponse("Too long.", 413)
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        user, password = form.get("user", "")[:200], form.get("password", "")[:1000]
        keys = (f"address {request.client.host if request.client else ''}", f"user {user}")
        wait = self.brakes.wait(*keys)
        if wait > 0:
            return self._login_page(request, "login.wait", 429, seconds=int(wait) + 1)
        if not self.login.check(user, password):
            self.brakes.failed(*keys)
            return self._login_page(request, "login.wrong", 401)
        self.brakes.passed(*keys)
        response = RedirectResponse("./", 303)
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            SESSION_COOKIE, self.sessions.start(user), SESSION_SECONDS, httponly=True, samesite="lax", secure=secure
        )
        return response

    def _login_page(self, request: Request, problem: str = "", status: int = 200, **values: object) -> Response:
        words = Words(_language_of(request))
        sentence = words(problem, **values) if problem else ""
        return HTMLResponse(
            _LOGIN_PAGE.format(
                lang=words("lang.html"),
                title=el("h2", words("login.title")),
                version=self.version,
                user=el("span", words("login.user")),
                password=el("span", words("login.password")),
                go=join(words("login.go")),
                problem=el("p", icon("warning"), sentence, class_="failure") if problem else "",
            ),
            status,
            {"cache-control": "no-store"},
        )

    # The language

    def _language(self, request: Request) -> Response | None:
        """`?lang=` sets the cookie; without either, "/" follows the browser."""
        path = request.url.path
        if path not in PAGES or request.method != "GET":
            return None
        asked = request.query_params.get("lang")
        wanted = language_or(asked, PAGES[path] if path != "/" else _language_of(request))
        rest = urlencode([(key, value) for key, value in request.query_params.multi_items() if key != "lang"])
        if asked is None and wanted == PAGES[path]:
            return None
        target = next(page for page, language in PAGES.items() if language == wanted)
        headers = {"cache-control": "no-store", "vary": "accept-language, cookie"}
        response = RedirectResponse("." + target + ("?" + rest if rest else ""), 303, headers)
        if asked in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, asked, 365 * 24 * 3600, samesite="lax")
        return response

    # Headers, and the page's own head

    def _with_headers(self, send: Send, nonce: str, *, forever: bool) -> Send:
        """`forever`: Gradio's assets carry a hash of their content in their names, so a browser may keep them."""
        added = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
        added.append((b"content-security-policy", _POLICY.format(nonce=nonce).encode()))

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                age = (
                    [(b"cache-control", b"private, max-age=31536000, immutable")] if forever and message["status"] == 200 else []
                )
                names = {key for key, _ in added + age} | {b"server"}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
                message = {**message, "headers": kept + added + age}
            await send(message)

        return sending

    async def _page(self, scope: Scope, receive: Receive, send: Send, nonce: str) -> None:
        """Gradio's page with our head: it has no place for a language, a nonce or a style sheet that is a file."""
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def collect(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, collect)
        content = bytes(body)
        if Headers(raw=start["headers"]).get("content-type", "").startswith("text/html"):
            content = self._dress(content.decode(), PAGES[scope["path"]], nonce).encode()
        headers = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"cache-control")]
        headers += [(b"content-length", str(len(content)).encode()), (b"cache-control", b"no-store")]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _dress(self, html: str, language: Language, nonce: str) -> str:
        words = Words(language)
        html = re.sub(r'<html\s+lang="[^"]*"', f'<html lang="{words("lang.html")}"', html, count=1)
        html = re.sub(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>|<link rel="manifest"[^>]*>', "", html)
        texts = {key: words(key) for key in WORDS if key.startswith(("dialog.", "tab.")) or key in ("chat.copied", "lang.html")}
        data = json.dumps(texts).replace("<", r"\u003c")
        own = (
            f"<title>{join(words('app.name'))}</title>"
            f'<link rel="icon" type="image/svg+xml" href="./ui/favicon.svg?v={self.version}">'
            f'<link rel="stylesheet" href="./ui/style.css?v={self.version}">'
            f'<link rel="stylesheet" href="./ui/tune.css?v={self.version}">'
            f'<script type="application/json" id="page-words">{data}</script>'
            f'<script src="./ui/page.js?v={self.version}" defer></script></head>'
        )
        html = html.replace("</head>", own, 1)
        # Everything that looks like a script tag here is one: Gradio writes "<" in its data as \u003c.
        return html.replace("<script", f'<script nonce="{nonce}"')


def _hostname(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()


def _language_of(request: Request) -> Language:
    return language_or(request.cookies.get(LANGUAGE_COOKIE), preferred(request.headers.get("accept-language", "")))


_LOGIN_PAGE = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><title>InternKB</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" type="image/svg+xml" href="./ui/favicon.svg?v={version}">
<link rel="stylesheet" href="./ui/style.css?v={version}"></head>
<body class="login"><main><span class="mark-logo"></span>{title}{problem}
<form method="post" action="./login">
<label>{user}<input name="user" autocomplete="username" required autofocus></label>
<label>{password}<input name="password" type="password" autocomplete="current-password" required></label>
<button type="submit">{go}</button></form></main></body></html>
"""
