"""Certificates for the lab's devices: a CA made at start, and a certificate for each address."""

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LabTls:
    """What the lab's servers serve with, and what a client needs to verify them."""

    contexts: Mapping[str, ssl.SSLContext]
    """By address: each has a certificate of its own, as devices have."""
    ca_pem: str
    """The CA's certificate. The keys are not kept."""


def make_tls(addresses: Iterable[str]) -> LabTls:
    """Make a CA, and for each of the IP `addresses` a server certificate with it as subject alternative name.

    Raises ValueError when an address is none.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("dzbgp lab CA")
    ca = (
        _builder(issuer, issuer, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    contexts = {address: _server_context(_device_pem(address, issuer, ca_key)) for address in set(addresses)}
    return LabTls(contexts, ca.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def _device_pem(address: str, issuer: x509.Name, ca_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a new key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.IPAddress(ipaddress.ip_address(address))]
    leaf = (
        _builder(_name("dzbgp lab device"), issuer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + leaf.public_bytes(serialization.Encoding.PEM)


def _server_context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Clients resume no session: tickets would only cost time.
    context.num_tickets = 0
    # OpenSSL reads a key from files only; this one lives as long as the call.
    with tempfile.TemporaryDirectory(prefix="dzbgp-lab-") as directory:
        path = Path(directory) / "device.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # An hour's slack: the lab may run in a container whose clock is off.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
