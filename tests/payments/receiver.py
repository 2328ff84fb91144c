"""A real HTTP server that keeps every webhook it is sent, and answers as told."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]

    @property
    def key(self) -> str:
        """The payout's, charge's or refund's; of a dispute, its id."""
        return str(self.data.get("key") or self.data["id"])

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """``answer``: from what came to the status to send. ``more``: headers to send with it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], int] = lambda _: 200
        self.more: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # its sender was killed half way through
                received = Received({name.lower(): value for name, value in self.headers.items()}, body)
                receiver.received.append(received)
                self.send_response(receiver.answer(received))
                self.send_header("content-length", "0")
                for name, value in receiver.more.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()

    def about(self, key: str) -> list[Received]:
        """Everything received about one payout, charge, refund or dispute, in order."""
        return [each for each in self.received if each.key == key]

    def types(self, key: str) -> list[str]:
        return [each.type for each in self.about(key)]
