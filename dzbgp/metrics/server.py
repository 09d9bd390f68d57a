"""/metrics over HTTP."""

from threading import Thread
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from dzbgp.errors import UsageError

_HIGHEST_PORT = 65535


class MetricsServer:
    """Serves a registry until it is closed. A context manager."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        """Begin to serve on HOST:PORT; port 0 takes a free one. Raises UsageError."""
        host, port = parse_address(address)
        self._server: WSGIServer
        self._thread: Thread
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise UsageError(
                f"--metrics-addr {address}: {error.strerror or error}; expected an address of this host and a "
                "port that nobody listens on"
            ) from None
        self._host = host

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop serving; the port is free afterwards."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPV6]:PORT`. Raises UsageError."""
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_ipv6 = host != bare
    good_port = port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT
    if not (colon and bare and good_port) or (":" in bare) != is_ipv6:
        raise UsageError(f"--metrics-addr {address}: expected HOST:PORT, as in 127.0.0.1:9473 or [::1]:9473")
    return bare, int(port)
