"""/metrics and /healthz over HTTP."""

from collections.abc import Callable, Iterable
from threading import Thread
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from dzbgp.errors import UsageError
from dzbgp.metrics.health import Health

_HIGHEST_PORT = 65535


class MetricsServer:
    """Serves a registry until it is closed. A context manager."""

    def __init__(self, address: str, registry: CollectorRegistry, health: Health | None) -> None:
        """Begin to serve on HOST:PORT; port 0 takes a free one. Raises UsageError.

        With `health`, /healthz says 503 where that has a problem.
        """
        host, port = parse_address(address)
        self._server: WSGIServer
        self._thread: Thread
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise UsageError(
                f"--metrics-addr {address}: {error.strerror or error}; expected an address of this host and a "
                "free port"
            ) from None
        if health is not None:
            self._server.set_app(_with_health(make_wsgi_app(registry), health))
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


def _with_health(metrics: Callable[..., Iterable[bytes]], health: Health) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application that answers /healthz itself, and leaves the rest to `metrics`."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/healthz":
            return metrics(environ, start_response)
        problem = health.problem()
        start_response("503 Service Unavailable" if problem else "200 OK", [("Content-Type", "text/plain")])
        return [f"{problem or 'ok'}\n".encode()]

    return app
