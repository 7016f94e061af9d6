"""The certificates of the https listeners: what strict clients demand, and that they outlast a restart."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from emulator.protocols import tls


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_certificate_names_loopback_by_name_and_address(tmp_path: Path) -> None:
    names = _certificate(tls.prepare(tmp_path).certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    wildcards = {"*.vault.localhost", "*.blob.core.localhost"}
    assert set(names.value.get_values_for_type(x509.DNSName)) == {"localhost", *wildcards}
    assert {str(each) for each in names.value.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}


def test_the_authority_and_the_certificate_carry_the_key_identifiers_that_openssl_3_demands(tmp_path: Path) -> None:
    files = tls.prepare(tmp_path)
    authority, server = _certificate(files.authority).extensions, _certificate(files.certificate).extensions
    subject = authority.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert server.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == subject
    assert authority.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_restart_keeps_the_certificates_and_keys_are_private(tmp_path: Path) -> None:
    tls.prepare(tmp_path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    tls.prepare(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_certificate_that_expires_soon_is_renewed_by_the_same_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_SERVER_DAYS", 10)
    files = tls.prepare(tmp_path)
    authority, before = files.authority.read_bytes(), _certificate(files.certificate)
    monkeypatch.undo()
    tls.prepare(tmp_path)
    after = _certificate(files.certificate)
    assert files.authority.read_bytes() == authority
    assert after.serial_number != before.serial_number
    assert after.not_valid_after_utc < datetime.now(UTC) + timedelta(days=398)


def test_a_certificate_without_all_names_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(tls, "_NAMES", ("localhost", "127.0.0.1"))
        first = tls.prepare(tmp_path).certificate.read_bytes()
    assert tls.prepare(tmp_path).certificate.read_bytes() != first
