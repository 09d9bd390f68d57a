"""What a device proves its identity with before the password is sent: the certificate or SSH host key that is expected.

By default the key that a host shows first is accepted, remembered, and expected from then on, as ssh does. It is looked
at when a connection is made, and remembered when the login went well.
"""

import base64
import contextlib
import hashlib
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KNOWN = "dzbgp_known_keys"
"""Where Nornir's configuration keeps the KnownKeys, among what users define."""
EXPECTED = "dz_expected"
"""Where a host's optional_args keep its Expected. NAPALM never sees it."""

TLS, SSH = "certificate", "SSH host key"

_DIGEST = re.compile(r"(?:sha-?256(?: fingerprint)?[ :=]+)?([0-9a-f:]+)")
_DIGITS = 64


class UntrustedDeviceError(Exception):
    """A device did not show the certificate or key that is expected of it. No password was sent."""


def fingerprint(text: str) -> str:
    """Return a certificate's SHA-256 fingerprint in the form `AB:CD:...`. Raises ValueError.

    Read is what `openssl x509 -fingerprint -sha256` prints, with or without colons, and sha256:HEX.
    """
    found = _DIGEST.fullmatch(text.strip().lower())
    digits = found[1].replace(":", "") if found else ""
    if len(digits) != _DIGITS:
        raise ValueError(f"{text!r} is not the SHA-256 fingerprint of a certificate")
    return _colons(digits)


def fingerprint_of(certificate: bytes) -> str:
    """Return the fingerprint of a certificate in DER."""
    return _colons(hashlib.sha256(certificate).hexdigest())


def shown(kind: str, key: str) -> str:
    """Return a known key as people compare it: of an SSH host key what `ssh-keygen -l` prints."""
    if kind == TLS:
        return key
    name, _, blob = key.partition(" ")
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return f"{name} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _colons(digest: str) -> str:
    return ":".join(re.findall("..", digest.upper()))


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a host."""

    host: str
    fingerprints: tuple[str, ...] = ()
    """Of its certificate, as the inventory says; empty: the one that is known, or any if none is."""
    must_be_known: bool = False
    """A key that is seen first is refused: the host's address is not the operator's own."""


Keys = Mapping[tuple[str, str], str]
"""Fingerprints of certificates and whole SSH host keys, by the host's name and the kind of key."""


class KnownKeys:
    """The keys that hosts have shown. For any number of threads.

    `load` reads those that outlive the process, `keep` adds one to them; without `load` nothing does.
    """

    def __init__(
        self, load: Callable[[], Keys] | None = None, keep: Callable[[str, str, str], object] | None = None
    ) -> None:
        self._load = load
        self._keep = keep
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], str] = {}
        self.reload()

    @property
    def is_kept(self) -> bool:
        """Whether they outlive the process."""
        return self._load is not None

    @property
    def all(self) -> Keys:
        """A copy of all of them."""
        with self._lock:
            return dict(self._known)

    def reload(self) -> None:
        """Read again what outlives the process: another one may have been told of a new key."""
        if self._load is not None:
            fresh = self._load()
            with self._lock:
                self._known |= fresh

    def of(self, host: str, kind: str) -> str | None:
        """Return the key that is known of a host."""
        with self._lock:
            return self._known.get((host, kind))

    def add(self, host: str, kind: str, key: str) -> None:
        """Remember a key, unless one is known."""
        with self._lock:
            if self._known.setdefault((host, kind), key) is not key or self._keep is None:
                return
        self._keep(host, kind, key)


class Proof:
    """One connection's proof: what is expected, what the device showed."""

    def __init__(self, expected: Expected, known: KnownKeys | None) -> None:
        self._expected = expected
        self._known = known or KnownKeys()
        self._seen: tuple[str, str] | None = None

    def check_certificate(self, certificate: bytes) -> None:
        """Look at the certificate of a connection that was just made. Raises UntrustedDeviceError."""
        found = fingerprint_of(certificate)
        if pinned := self._expected.fingerprints:
            if found not in pinned:
                raise UntrustedDeviceError(
                    f"its certificate is not the pinned one: it shows {found}, dz_tls_fingerprint is "
                    f"{' or '.join(pinned)}; the password was not sent"
                )
            return
        self._check(TLS, found)
        self._seen = (TLS, found)

    @contextlib.contextmanager
    def host_key(self, options: dict[str, Any], hostname: str, port: int) -> Iterator[None]:
        """Have netmiko accept no other SSH host key than the known one, if there is one. `options` are netmiko's.

        Raises UntrustedDeviceError, also for what paramiko raises within.
        """
        key = self._known.of(self._expected.host, SSH)
        if key is None:
            self._check(SSH, "")
            yield
            return
        name = hostname if port == 22 else f"[{hostname}]:{port}"  # noqa: PLR2004 - as paramiko looks it up
        with tempfile.NamedTemporaryFile("w", prefix="dzbgp-", encoding="ascii") as file:
            file.write(f"{name} {key}\n")
            file.flush()
            options |= {"ssh_strict": True, "alt_host_keys": True, "alt_key_file": file.name}
            try:
                yield
            except Exception as error:
                for cause in _chain(error):
                    if type(cause).__name__ == "BadHostKeyException":
                        other = getattr(cause, "key", None)
                        self._check(
                            SSH, f"{other.get_name()} {other.get_base64()}" if other is not None else ""
                        )
                    elif "not found in known_hosts" in str(cause):
                        self._check(SSH, "")
                raise

    def see_host_key(self, key: Any) -> None:
        """Take in the SSH host key (paramiko's) of a connection that was made."""
        self._seen = (SSH, f"{key.get_name()} {key.get_base64()}")

    def _check(self, kind: str, found: str) -> None:
        host = self._expected.host
        if self._known.of(host, kind) != found:
            self._known.reload()
        key = self._known.of(host, kind)
        new = f"it shows {shown(kind, found)}" if found else "it shows one of another kind"
        if key is None and self._expected.must_be_known:
            what = f", {new}," if found else ""
            raise UntrustedDeviceError(
                f"its address comes from the ledger, and its {kind}{what} is not known: compare it, then "
                f"`dzbgp inventory trust {host}`; the password was not sent"
            )
        if key is not None and found != key:
            raise UntrustedDeviceError(
                f"its {kind} has changed: it was {shown(kind, key)}, now {new}; if that is right, "
                f"`dzbgp inventory trust {host}`; the password was not sent"
            )

    def accept(self) -> None:
        """Remember what the device showed. Call it when the login went well."""
        if self._seen is not None:
            self._known.add(self._expected.host, *self._seen)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of: netmiko and NAPALM raise their own instead."""
    while error is not None:
        yield error
        error = error.__context__


def show(hostname: str, port: int, kind: str, timeout_s: float) -> str:
    """Connect and return the key that a device shows, without a login. Raises OSError and what paramiko raises."""
    import socket  # noqa: PLC0415 - only here
    import ssl  # noqa: PLC0415

    with socket.create_connection((hostname, port), timeout_s) as plain:
        if kind == TLS:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=hostname) as line:
                return fingerprint_of(line.getpeercert(binary_form=True) or b"")
        import paramiko  # noqa: PLC0415 - slow

        transport = paramiko.Transport(plain)
        try:
            transport.start_client(timeout=timeout_s)
            key = transport.get_remote_server_key()
        finally:
            transport.close()
        return f"{key.get_name()} {key.get_base64()}"
