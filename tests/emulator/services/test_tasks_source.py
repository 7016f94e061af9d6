"""Uploaded build sources, taken apart: nothing lands outside the folder."""

import io
import stat
import tarfile
from pathlib import Path

import pytest

from emulator.backends.archive import extract, inside
from emulator.core.errors import AzureError


def _file(name: str, content: bytes = b"x", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, 1_000_000_000
    return entry, content


def _other(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, target, 0o755
    return entry, b""


def _archive(folder: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    path = folder / "source.tar.gz"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_files_folders_and_links_come_out_as_they_went_in(tmp_path: Path, target: Path, mode: str) -> None:
    entries = [
        _other("./", tarfile.DIRTYPE),
        _other("sub", tarfile.DIRTYPE),
        _file("./sub/run.sh", b"#!", 0o755),
        _file("deep/er/file"),
        _other("link", tarfile.SYMTYPE, "sub/run.sh"),
        _other("hard", tarfile.LNKTYPE, "sub/run.sh"),
    ]
    assert extract(_archive(tmp_path, *entries, mode=mode), target) == 6
    script = target / "sub" / "run.sh"
    assert script.read_bytes() == b"#!"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert script.stat().st_mtime == 1_000_000_000
    assert (target / "deep" / "er" / "file").read_bytes() == b"x"
    assert (target / "link").readlink() == Path("sub/run.sh")
    assert (target / "hard").samefile(script)


@pytest.mark.parametrize(
    "entries",
    [
        [_file("../out")],
        [_file("/out")],
        [_file("a/../../out")],
        [_other("way", tarfile.SYMTYPE, ".."), _file("way/out")],
        [_other("way", tarfile.SYMTYPE, "/tmp"), _file("way", b"through")],  # noqa: S108 - a link in a test's archive
        [_other("hard", tarfile.LNKTYPE, "../../etc/passwd")],
        [_other("way", tarfile.SYMTYPE, "/etc/passwd"), _other("hard", tarfile.LNKTYPE, "way")],
        [_other("pipe", tarfile.FIFOTYPE)],
        [_other("device", tarfile.CHRTYPE)],
        [_file("twice"), _other("twice", tarfile.DIRTYPE)],
    ],
)
def test_what_leads_outside_is_refused(
    tmp_path: Path, target: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    before = {path for path in tmp_path.iterdir() if path != target}
    archive = _archive(tmp_path, *entries)
    with pytest.raises(AzureError, match="The uploaded source cannot be used"):
        extract(archive, target)
    assert {path for path in tmp_path.iterdir() if path != target} == before | {archive}


def test_what_is_no_archive_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(AzureError, match="it is no tar archive"):
        extract(tmp_path / "text", target)


def test_a_broken_archive_is_refused(tmp_path: Path, target: Path) -> None:
    whole = _archive(tmp_path, _file("file", bytes(range(256)) * 400)).read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AzureError, match="it is no tar archive, or a broken one"):
        extract(tmp_path / "half", target)


def test_a_dockerfile_behind_a_link_that_leads_out_is_refused(tmp_path: Path, target: Path) -> None:
    extract(_archive(tmp_path, _other("Dockerfile", tarfile.SYMTYPE, "/etc/hostname")), target)
    with pytest.raises(AzureError, match="outside the uploaded source"):
        inside(target, "Dockerfile", "the Dockerfile")
    with pytest.raises(AzureError, match="is not in the uploaded source"):
        inside(target, "missing", "the Dockerfile")
