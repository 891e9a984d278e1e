"""A small model hub on a free port of this machine, speaking both interfaces: Hugging Face's and ModelScope's.

It serves the files of `folder` as the repository `repo`, remembers what it was asked for, and can be made to fail.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """`cuts`: for each of the next transfers of a safetensors file, after how many bytes the connection breaks.

    `other`: files that are sent otherwise than promised. `token`: refuses whoever does not show it. `ranges`: whether it can
    go on in the middle. `asked`: (path, Range). `sent`: bytes by file. `elsewhere`: safetensors are redirected to this address.
    """

    folder: Path
    repo: str = "internlm/internlm2_5-1_8b-chat"
    cuts: list[int] = field(default_factory=list)
    other: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    ranges: bool = True
    elsewhere: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake._reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fetched(self) -> list[str]:
        """Names of the files whose bytes were asked for."""
        return sorted({path.split("file:", 1)[1] for path, _ in self.asked if path.startswith("file:")})

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.tokens.append(handler.headers.get("Authorization", ""))
        scope = f"/api/v1/models/{self.repo}/repo"
        if self.token and self.tokens[-1] != f"Bearer {self.token}":
            self._json(handler, 401, {"error": "Invalid username or password."})
        elif path in (f"/api/models/{self.repo}/revision/main", f"/api/models/{self.repo}/revision/{COMMIT}"):
            self._json(handler, 200, {"sha": COMMIT})
        elif path == f"/api/models/{self.repo}/tree/{COMMIT}":
            self._tree(handler, int(query.get("cursor", ["0"])[0]))
        elif path.startswith(f"/{self.repo}/resolve/{COMMIT}/"):
            self._file(handler, path.rsplit(f"{COMMIT}/", 1)[1])
        elif path == f"{scope}/files":
            self._json(handler, 200, {"Code": 200, "Data": {"Files": [self._row(one, scope=True) for one in self._files()]}})
        elif path == scope and query["Revision"] == ["master"]:
            self._file(handler, query["FilePath"][0])
        else:
            self._json(handler, 404, {"error": "Repository not found"})

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def _row(self, path: Path, scope: bool = False) -> dict[str, Any]:
        name, data = path.relative_to(self.folder).as_posix(), path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if scope:
            return {"Path": name, "Name": path.name, "Type": "blob", "Size": len(data), "Sha256": sha256}
        row: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
        row["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return row | ({"lfs": {"oid": sha256, "size": len(data)}} if path.suffix in (".safetensors", ".bin") else {})

    def _tree(self, handler: BaseHTTPRequestHandler, cursor: int) -> None:
        rows, page = [self._row(path) for path in self._files()], 4  # on several pages, as the hub does it
        more = f'<https://huggingface.co{handler.path.split("&")[0]}&cursor={cursor + page}>; rel="next"'
        self._json(handler, 200, rows[cursor : cursor + page], {"Link": more} if cursor + page < len(rows) else {})

    def _file(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        asked = handler.headers.get("Range", "")
        self.asked.append((f"file:{name}", asked))
        path = self.folder / name
        if not path.is_file():
            self._json(handler, 404, {"error": "Entry not found"})
            return
        if self.elsewhere and path.suffix == ".safetensors":
            handler.send_response(302)
            handler.send_header("Location", self.elsewhere + handler.path)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        data = self.other.get(name, path.read_bytes())
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        body = data[start:]
        if path.suffix == ".safetensors" and self.cuts:
            body = body[: self.cuts.pop(0)]
        handler.wfile.write(body)
        handler.wfile.flush()
        handler.close_connection = True
        self.sent[name] = self.sent.get(name, 0) + len(body)

    @staticmethod
    def _json(handler: BaseHTTPRequestHandler, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(body)
