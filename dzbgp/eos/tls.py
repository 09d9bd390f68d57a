"""Decide what devices must prove before the password is sent, and by which CA; trust.py checks the proof.

What NAPALM 5.2 and pyeapi 1.0 make of it: over https a certificate is only looked at with `enforce_verification`, or
with an ssl context of one's own; http proves nothing; over ssh a host key is only looked at with `ssh_strict`.
"""

import os
import ssl
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nornir.core.inventory import ConnectionOptions, Host

from dzbgp.eos.trust import EXPECTED, Expected, fingerprint
from dzbgp.errors import InventoryError, UsageError

_HTTPS = frozenset({"https", "https_session"})

VERIFY, CA_FILE, FINGERPRINT = "dz_tls_verify", "dz_tls_ca_file", "dz_tls_fingerprint"
"""The data of a host, a group or the defaults that say the same as the options do for all."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was asked for. `required` None: as the inventory says; `ca_file` None: the CAs that the system trusts."""

    required: bool | None = None
    ca_file: Path | None = None
    insecure: bool = False
    """Nothing is looked at."""

    def __post_init__(self) -> None:
        if self.insecure and (self.required or self.ca_file is not None):
            raise UsageError("--tls-insecure: cannot be combined with --tls-verify and --tls-ca-file")
        if self.required is False and self.ca_file is not None:
            raise UsageError("--tls-ca-file: cannot be combined with --no-tls-verify")


class Verifier:
    """Make connections verify their devices. A CA's file is read once for all hosts."""

    def __init__(self, asked: Verification) -> None:
        self._asked = asked
        self._contexts: dict[Path | None, ssl.SSLContext] = {}
        self._trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trusting.check_hostname = False
        self._trusting.verify_mode = ssl.CERT_NONE
        if asked.ca_file is not None:
            self._context(asked.ca_file, "--tls-ca-file")

    def apply(
        self, host: Host, where: str, options: dict[str, Any], beside: Path, *, is_own_address: bool = True
    ) -> None:
        """Put into `options`, NAPALM's optional_args of `host`, what its transport needs for what was asked.

        `where` names the host in errors; the CA's file that an inventory names is also looked for `beside` it. A host
        whose address is not the operator's own (`is_own_address`) must be verified, pinned or known. Raises
        InventoryError when the host is to be verified and its transport cannot be, or its CA cannot be read.
        """
        self._verify(host, where, options, beside)
        self._expect(host, where, options, is_own_address=is_own_address)

    def _expect(self, host: Host, where: str, options: dict[str, Any], *, is_own_address: bool) -> None:
        """Say which certificate or host key is expected of the host, beside what a CA says."""
        options.pop(EXPECTED, None)
        pinned, transport = _pinned(host, where), transport_of_options(options)
        if pinned and not transport.startswith("https"):
            raise InventoryError(
                f"{where} has {FINGERPRINT} and transport {transport!r}, which shows no certificate; expected https"
            )
        if self._asked.insecure:
            return
        if not is_own_address and not transport.startswith("https") and transport != "ssh":
            raise InventoryError(
                f"{where} has an address that comes from the ledger and transport {transport!r}, which does not "
                "prove the device's identity; "
                "expected https or ssh (--tls-insecure sends the password anyway)"
            )
        if transport.startswith("https") or transport == "ssh":
            is_verified = is_verified_by(options)
            if pinned or not is_verified:
                options[EXPECTED] = Expected(
                    host.name, pinned, must_be_known=not is_own_address and not pinned
                )

    def _verify(self, host: Host, where: str, options: dict[str, Any], beside: Path) -> None:
        if transport_of_options(options) == "https_certs":
            _check_files(where, options)
        required, ca_file, named = self._wanted(host, where, options, beside)
        if required is None:
            self._share_context(options)
            return
        match transport_of_options(options):
            case "https" | "https_session":
                options.pop("ca_file", None)
                options["enforce_verification"] = required
                options.pop("context", None)
                if required:
                    options["context"] = self._context(ca_file, named)
                else:
                    self._share_context(options)
            case "ssh":
                options["ssh_strict"] = required
                if required and not (options.get("alt_host_keys") or options.get("system_host_keys")):
                    options["system_host_keys"] = True
            case transport if required:
                raise InventoryError(
                    f"{where} has transport {transport!r}, which cannot be verified; expected https or ssh "
                    f"(--tls-verify, {VERIFY})"
                )

    def _wanted(
        self, host: Host, where: str, options: Mapping[str, Any], beside: Path
    ) -> tuple[bool | None, Path | None, str]:
        """Return whether `host` must be verified (None: as NAPALM's options say), by whose CA, and who named that."""
        if self._asked.required is False or self._asked.insecure:
            return False, None, ""
        if self._asked.ca_file is not None:
            return True, self._asked.ca_file, "--tls-ca-file"
        said, ca_file = host.get(VERIFY), host.get(CA_FILE)
        if said is not None and not isinstance(said, bool):
            raise InventoryError(f"{where} has {VERIFY} {said!r}; expected true or false")
        if ca_file is None and transport_of_options(options) in _HTTPS:
            ca_file = options.get("ca_file")
        if ca_file is not None and not isinstance(ca_file, str):
            raise InventoryError(f"{where} has {CA_FILE} {ca_file!r}; expected a file's name")
        required = self._asked.required or said
        if ca_file is None or required is False:
            return required, None, where
        return True, _beside(beside, ca_file), f"{where}: {CA_FILE}"

    def _share_context(self, options: dict[str, Any]) -> None:
        """Share one context where each connection would make one of its own that verifies nothing."""
        own = options.get("context") is not None or options.get("enforce_verification")
        if transport_of_options(options) in _HTTPS and not own:
            options["context"] = self._trusting

    def _context(self, ca_file: Path | None, named: str) -> ssl.SSLContext:
        known = self._contexts.get(ca_file)
        if known is not None:
            return known
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if ca_file is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(cafile=ca_file)
        except ssl.SSLError:
            raise UsageError(f"{named} {ca_file}: it holds no certificate; expected a CA's in PEM") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise UsageError(f"{named} {ca_file}: {why}; expected a CA's certificate in PEM") from None
        self._contexts[ca_file] = context
        return context


def _pinned(host: Host, where: str) -> tuple[str, ...]:
    """Return the fingerprints that the inventory says. Raises InventoryError."""
    said = host.get(FINGERPRINT)
    if said is None:
        return ()
    texts = said if isinstance(said, list) else [said]
    try:
        pinned = tuple(fingerprint(text) for text in texts)
    except (ValueError, AttributeError):
        pinned = ()
    if not pinned:
        raise InventoryError(
            f"{where} has {FINGERPRINT} {said!r}; expected a certificate's SHA-256 fingerprint, or a list of them"
        )
    return pinned


def _check_files(where: str, options: Mapping[str, Any]) -> None:
    """Raise InventoryError unless there is what a client proves itself with."""
    for name in ("key_file", "cert_file"):
        file = options.get(name)
        if not isinstance(file, str) or not Path(file).is_file():
            raise InventoryError(
                f"{where} has transport 'https_certs' and {name} {file!r}; expected a file (optional_args)"
            )


def _beside(inventory: Path, named: str) -> Path:
    file = Path(os.path.expanduser(named))
    folder = inventory if inventory.is_dir() else inventory.parent
    return file if file.is_absolute() or file.exists() else folder / file


def transport_of_options(options: Mapping[str, Any]) -> str:
    """Return the name of the transport, as NAPALM chooses it from optional_args."""
    return str(options.get("transport", options.get("eos_transport", "https")))


def transport_of(connection: ConnectionOptions) -> str:
    """Return the name of the connection's transport."""
    return transport_of_options((connection.extras or {}).get("optional_args") or {})


def is_verified(connection: ConnectionOptions) -> bool:
    """Tell whether a CA, a known_hosts file or a pinned fingerprint says who the device is."""
    options = (connection.extras or {}).get("optional_args") or {}
    expected = options.get(EXPECTED)
    return is_verified_by(options) or (expected is not None and bool(expected.fingerprints))


def is_expected(connection: ConnectionOptions) -> bool:
    """Tell whether the device must show the key that it showed before."""
    return EXPECTED in ((connection.extras or {}).get("optional_args") or {})


def is_verified_by(options: Mapping[str, Any]) -> bool:
    """Tell whether NAPALM's optional_args make a CA or a known_hosts file say who the device is."""
    transport = transport_of_options(options)
    if transport == "ssh":
        return bool(options.get("ssh_strict"))
    context = options.get("context")
    if isinstance(context, ssl.SSLContext):
        return transport in _HTTPS and context.verify_mode is ssl.CERT_REQUIRED
    if transport == "https_certs":
        return bool(options.get("ca_file"))
    return transport in _HTTPS and bool(options.get("enforce_verification"))


_WORDS = {
    "http": ("nothing is encrypted", "use transport: https"),
    "http_session": ("nothing is encrypted", "use transport: https_session"),
    "ssh": (
        "host keys are not verified",
        "keep a state file, --tls-verify, or optional_args: ssh_strict: true, system_host_keys: true",
    ),
}
_OF_HTTPS = (
    "certificates are not verified",
    f"keep a state file, --tls-verify or --tls-ca-file, or {FINGERPRINT} in the inventory's data",
)


def unverified(connections: Iterable[ConnectionOptions], *, is_kept: bool) -> list[tuple[str, str]]:
    """Return, as a sentence and a remedy for each transport, how many devices anybody could pretend to be.

    `is_kept`: what devices show is remembered from run to run, and a device that must show it again is none of them.
    """
    asked = list(connections)
    found = Counter(
        transport_of(connection)
        for connection in asked
        if not (is_verified(connection) or (is_kept and is_expected(connection)))
    )
    told = []
    for transport, count in found.items():
        what, remedy = _WORDS.get(transport, _OF_HTTPS)
        sentence = (
            f"{what} ({transport}, {count} of {len(asked)}): anyone on the network path can read the password"
        )
        told.append((sentence, remedy))
    return told
