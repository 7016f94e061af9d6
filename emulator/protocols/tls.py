"""The local certificate authority and the https certificate that it signs.

Owns both and the bundle with which clients trust them beside the public authorities. Lasts as long as the state folder.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509

#: OpenSSL takes a wildcard only where two more names follow, so that vaults and accounts have one each.
_NAMES = ("localhost", "*.vault.localhost", "*.blob.core.localhost", "127.0.0.1", "::1")
_SERVER_DAYS = 397
"""What browsers and Apple's clients accept at most."""
_RENEW_DAYS = 30
_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Tls:
    """Files of the https listeners: certificate, key, authority, and the bundle for clients."""

    certificate: Path
    key: Path
    authority: Path
    bundle: Path


def prepare(folder: Path) -> Tls:
    """Create what does not exist or expires soon."""
    files = Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem", folder / "ca-bundle.pem")
    authority_key = folder / "ca.key"
    if _is_valid(files.authority) and authority_key.exists():
        authority = trustme.CA.from_pem(files.authority.read_bytes(), authority_key.read_bytes())
    else:
        authority = trustme.CA(organization_name="Local Azure", organization_unit_name="Local Azure")
        _write_key(authority_key, authority.private_key_pem)
        authority.cert_pem.write_to_path(files.authority)
        files.certificate.unlink(missing_ok=True)
    if not (_is_valid(files.certificate) and _is_for(files.certificate) and files.key.exists()):
        # trustme takes a time without a zone as UTC.
        expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=_SERVER_DAYS)
        server = authority.issue_cert(*_NAMES, common_name="localhost", not_after=expiry)
        _write_key(files.key, server.private_key_pem)
        server.cert_chain_pems[0].write_to_path(files.certificate)
    files.bundle.write_bytes(_public_bundle(folder).read_bytes().rstrip() + b"\n" + files.authority.read_bytes())
    return files


def _public_bundle(folder: Path) -> Path:
    """What this machine trusts: the environment's bundle, else the system's, else certifi's."""
    named = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    candidates = [Path(name) for name in named if name] + [_SYSTEM_BUNDLE, Path(certifi.where())]
    # A shell that is set up for a local Azure names that one's bundle, which must not become part of another's.
    return next(
        path
        for path in candidates
        if path.is_file() and path.resolve().parent != folder.resolve() and not (path.parent / "ca.key").exists()
    )


def _is_valid(path: Path) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=_RENEW_DAYS)


def _is_for(path: Path) -> bool:
    """Whether a certificate has all our names: an older one lacks some."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(_NAMES) == {str(each.value) for each in names}


def _write_key(path: Path, key: trustme.Blob) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.bytes())
