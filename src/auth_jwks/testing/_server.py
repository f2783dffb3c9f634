"""A provider's answers over real HTTP on loopback, from a thread of its own."""

import contextlib
import socket
import ssl
import threading
from concurrent.futures import Future
from functools import partial
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from auth_jwks.testing._answer import Answer, Receive

__all__ = ["Server"]

_POLL_SECONDS = 0.01


class Server:
    """An HTTP/1.1 server with keep-alive, until it is stopped. Port 0 is a free one."""

    def __init__(
        self,
        receive: Receive,
        ssl_context: ssl.SSLContext | None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._listener = _Listener(receive, ssl_context, (host, port))
        self.closing = self._listener.closing
        scheme = "https" if ssl_context else "http"
        self.url = f"{scheme}://{_reached(host)}:{self._listener.server_address[1]}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and the port. Set `closing` first."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()


class _Listener(ThreadingTCPServer):
    # Not `HTTPServer`: its bind asks the resolver for the host's name, which may take seconds.
    request_queue_size = 1024

    def __init__(
        self, receive: Receive, ssl_context: ssl.SSLContext | None, address: tuple[str, int]
    ) -> None:
        self.closing = threading.Event()
        # A port that is named may have been used a moment ago.
        self.allow_reuse_address = address[1] != 0
        self._ssl_context = ssl_context
        self._connections: list[socket.socket] = []
        self._threads_alive: list[threading.Thread] = []
        super().__init__(address, partial(_Handler, receive, self.closing))

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._ssl_context:
            # The connection's own thread does the handshake, so a silent client blocks no other.
            connection = self._ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._connections = [c for c in self._connections if c.fileno() >= 0] + [connection]
        return connection, address

    def process_request(self, request: object, client_address: object) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._threads_alive = [t for t in self._threads_alive if t.is_alive()] + [thread]
        thread.start()

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                # Not `SSLSocket.shutdown`: it would change state under a reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads_alive:
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, receive: Receive, closing: threading.Event, *connection: Any) -> None:
        self._receive = receive
        self._closing = closing
        super().__init__(*connection)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client left, or does not trust the certificate
            super().handle()

    def log_message(self, *_: object, **__: object) -> None:
        pass

    def do_GET(self) -> None:
        # An unread body would reset the connection when it is closed, and the answer could be lost.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, gate = self._receive(self.command, self.path, headers)
        closing = self._closing
        # `closing` first: a request may arrive after the held ones were dropped.
        if closing.is_set() or not _proceeds(gate) or closing.wait(answer.delay) or answer.refused:
            self.close_connection = True
        else:
            self._send(answer)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        self.close_connection = answer.truncated
        self.send_response_only(answer.status)
        for name, value in answer.head.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in answer.pieces:
            if self._closing.wait(answer.seconds_per_byte):
                self.close_connection = True
                return
            self.wfile.write(piece)


def _proceeds(gate: Future[bool] | None) -> bool:
    return gate is None or gate.result()


def _reached(host: str) -> str:
    """Return by what name this machine reaches a server: where it listens, or by loopback."""
    return "127.0.0.1" if host in {"", "0.0.0.0"} else host  # noqa: S104 - compared, not bound
