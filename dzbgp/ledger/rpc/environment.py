"""How the environment says to reach an RPC: proxies, and the files that TLS uses.

The variables are read here, not by the HTTP library: a mistake in one of them is a UsageError that names it, and
loopback never goes through a proxy. A proxy's URL is not shown, since it may hold a password.
"""

import os
import ssl
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx2

from dzbgp.errors import UsageError

_SCHEMES = ("http", "https", "socks5", "socks5h")
_TLS_FILES = ("SSL_CERT_FILE", "SSLKEYLOGFILE")


def proxy_of(url: str, *, use_proxies: bool = True) -> str | None:
    """Return the proxy that the environment names for `url`, None for none. Raises UsageError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not use_proxies or _is_loopback(host) or proxy_bypass(host):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if value := os.environ.get(variable, "").strip():
                return _checked(variable, value)
    return None


def tls_context(url: str, proxy: str | None) -> ssl.SSLContext:
    """Return the context to verify an RPC with. Raises UsageError if a file that the environment names is missing."""
    if not any(one and one.startswith("https:") for one in (url, proxy)):
        # Nothing is encrypted, so no file is read. If it is used anyway, it trusts no CA.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        named = [name for name in _TLS_FILES if os.environ.get(name)]
        if not named:
            raise
        found = error.strerror or "no certificates in it"
        raise UsageError(f"{' or '.join(named)}: {found}: expected a file that can be used") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(variable: str, value: str) -> str:
    """Return the URL of a proxy, http:// if it has no scheme. Raises UsageError."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(
            f"{variable}: invalid proxy: expected http://HOST:PORT or socks5://HOST:PORT (--no-proxy uses none)"
        )
    return url
