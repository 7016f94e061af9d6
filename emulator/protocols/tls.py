"""The local certificate authority and the https certificate that it signs.

Owns both and the bundle with which clients trust them beside the public authorities. Lasts as long as the state folder.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 397
_RENEW_DAYS = 30
_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Tls:
    """Files of the https face: its certificate, its key, the authority, and the bundle for clients."""

    certificate: Path
    key: Path
    authority: Path
    bundle: Path


def prepare(folder: Path) -> Tls:
    """Make what does not exist or expires soon."""
    files = Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem", folder / "ca-bundle.pem")
    authority_key = folder / "ca.key"
    if not (_lasting(files.authority) and authority_key.exists()):
        _write_pair(files.authority, authority_key, _authority)
        files.certificate.unlink(missing_ok=True)
    if not (_lasting(files.certificate) and files.key.exists()):
        signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{authority_key} holds no EC key: delete it, and a new one is made")
        issuer = x509.load_pem_x509_certificate(files.authority.read_bytes())
        _write_pair(files.certificate, files.key, lambda key: _server(key, issuer, signer))
    files.bundle.write_bytes(_public_bundle(folder).read_bytes().rstrip() + b"\n" + files.authority.read_bytes())
    return files


def _public_bundle(folder: Path) -> Path:
    """What this machine trusts: what the environment says, else the system's bundle, else certifi's."""
    named = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    candidates = [Path(name) for name in named if name] + [_SYSTEM_BUNDLE, Path(certifi.where())]
    # A shell made for a local Azure names that one's bundle: it must not be swallowed by the next.
    return next(
        path
        for path in candidates
        if path.is_file() and path.resolve().parent != folder.resolve() and not (path.parent / "ca.key").exists()
    )


def _lasting(path: Path) -> bool:
    if not path.exists():
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    return found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=_RENEW_DAYS)


def _write_pair(certificate: Path, key: Path, make: Callable[[ec.EllipticCurvePrivateKey], x509.Certificate]) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    certificate.write_bytes(make(made).public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local Azure certificate authority")])
    return (
        _builder(name, name, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [
        x509.DNSName("localhost"),
        x509.DNSName("*.localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    ]
    return (
        _builder(name, issuer.subject, key.public_key(), _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
