"""A small OpenAI-compatible chat server on a free port of this machine: a real implementation of the seam.

It streams `pieces` with `pause` seconds between them (to the first requests `replies` instead), remembers the requests, and
notices when a client hangs up.
"""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class FakeOpenAI:
    """`first`/`pause`: seconds before the first and between pieces. `status`: other than 200 refuses.

    `break_after`: hang up after that many pieces. `hung_up`: set when a client left before the end.
    """

    pieces: Sequence[str] = ("Hello", " there", ".")
    first: float = 0.0
    pause: float = 0.0
    status: int = 200
    break_after: int | None = None
    replies: Sequence[Sequence[str]] = ()
    requests: list[dict[str, Any]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
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

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
        count = len(self.requests)
        if self.status != 200:
            body = json.dumps({"error": {"message": "no such model"}}).encode()
            handler.send_response(self.status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            time.sleep(self.first)
            for n, piece in enumerate(self.replies[count - 1] if count <= len(self.replies) else self.pieces):
                if n == self.break_after:
                    return
                self._event(handler, {"content": piece}, None)
                time.sleep(self.pause)
            self._event(handler, {}, "stop")
            handler.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            self.hung_up.set()

    @staticmethod
    def _event(handler: BaseHTTPRequestHandler, delta: dict[str, str], finish: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": [choice]}
        handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        handler.wfile.flush()
