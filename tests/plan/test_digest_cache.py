"""A warm content key: what was read is not read again, and no change of a file goes unseen."""

import os
import shutil
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from azureml_scoring.plan import digest_cache
from azureml_scoring.plan.content import asset_files, asset_key, read_content
from azureml_scoring.plan.digest_cache import OFF, DigestCache, is_settled
from azureml_scoring.settings.image import ImageSettings

LATER = 120.0
"""Seconds after which everything that a test has written is settled."""


class Clock:
    """The time of day, some seconds ahead."""

    ahead = LATER

    def time(self) -> float:
        return time.time() + self.ahead

    def time_ns(self) -> int:
        return time.time_ns() + int(self.ahead * 10**9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(digest_cache, "time", made)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Path:
    """A build context whose digests are kept, whatever file system the tests run on."""
    del clock
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "_file_system", lambda *_: "ext4")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / "score.py").write_text("x = 1\n")
    (context / "start.sh").write_text("exit\n")
    (context / "weights").write_bytes(bytes(range(256)))
    (context / "link").symlink_to("score.py")
    return context


def read(folder: Path) -> tuple[str, int]:
    """The key of a context, and how many bytes were read for it."""
    counts = [0]
    key = read_content(folder, ImageSettings(), lambda _files, _total, size: counts.append(size)).key
    return key, counts[-1]


def cold(folder: Path) -> str:
    """The key that reading everything gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OFF, "1")
        key, size = read(folder)
    assert size
    return key


def size_of(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir() if not each.is_symlink())


def cache_of(folder: Path) -> Path:
    (file,) = (folder.parent / "cache" / "azureml-scoring" / "digests").iterdir()
    return file


def test_a_folder_that_nothing_has_touched_is_not_read_again(folder: Path) -> None:
    key, size = read(folder)
    assert size == size_of(folder)
    assert read(folder) == (key, 0)
    assert key == cold(folder)


def test_after_a_change_only_the_changed_file_is_read(folder: Path) -> None:
    read(folder)
    (folder / "score.py").write_text("x = 22\n")
    (folder / "before").write_text("123")
    assert read(folder) == (cold(folder), len("x = 22\n" + "123"))
    assert read(folder) == (cold(folder), 0)


def test_another_build_argument_is_another_key_of_the_same_digests(folder: Path) -> None:
    key, _ = read(folder)
    counts: list[int] = []
    image = ImageSettings.model_validate({"build_arguments": {"A": "1"}})
    other = read_content(folder, image, lambda *each: counts.append(each[2])).key
    assert other != key
    assert counts[-1] == 0


def restored(folder: Path) -> None:
    """Same size, and the times that can be set are put back."""
    before = (folder / "score.py").stat()
    (folder / "score.py").write_text("x = 2\n")
    os.utime(folder / "score.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(folder: Path) -> None:
    """A copy with all that can be copied takes the file's place."""
    shutil.copy2(folder / "score.py", folder.parent / "copy")
    before = (folder / "score.py").stat()
    (folder.parent / "copy").write_text("x = 3\n")
    os.utime(folder.parent / "copy", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder.parent / "copy").rename(folder / "score.py")


def written_by_another_name(folder: Path) -> None:
    before = (folder / "score.py").stat()
    os.link(folder / "score.py", folder.parent / "other name")
    (folder.parent / "other name").write_text("x = 4\n")
    os.utime(folder / "score.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def made_again(folder: Path) -> None:
    """The file system may give the inode anew."""
    before = (folder / "score.py").stat()
    (folder / "score.py").unlink()
    (folder / "score.py").write_text("x = 5\n")
    os.utime(folder / "score.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def exchanged(folder: Path) -> None:
    (folder / "score.py").rename(folder / "kept")
    (folder / "start.sh").rename(folder / "score.py")
    (folder / "kept").rename(folder / "start.sh")


def linked(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("weights")


def file_for_link(folder: Path) -> None:
    (folder / "link").unlink()
    os.link(folder / "score.py", folder / "link")


def link_for_file(folder: Path) -> None:
    (folder / "score.py").rename(folder.parent / "moved")
    (folder / "score.py").symlink_to(folder.parent / "moved")


@pytest.mark.parametrize(
    "change",
    [
        restored,
        replaced,
        written_by_another_name,
        made_again,
        exchanged,
        linked,
        file_for_link,
        link_for_file,
        lambda folder: (folder / "start.sh").chmod(0o755),
        lambda folder: (folder / "weights").unlink(),
        lambda folder: os.truncate(folder / "weights", 255),
    ],
    ids=lambda change: change.__name__,
)
def test_no_change_goes_unseen(folder: Path, change: Callable[[Path], object]) -> None:
    key, _ = read(folder)
    change(folder)
    found, _ = read(folder)
    assert found == cold(folder) != key


def coarse(status: os.stat_result) -> bytes:
    """The key of a file's digest where the file system counts time in steps of two seconds."""
    times = (status.st_mtime_ns // (2 * 10**9), status.st_ctime_ns // (2 * 10**9))
    return digest_cache._KEY.pack(status.st_size, status.st_ino, *times)


def test_edits_within_one_step_of_a_file_systems_clock_are_seen(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_cache, "_key", coarse)
    clock.ahead = 0.0
    texts, keys = ("x = 1\n", "x = 2\n"), []
    for text in texts:
        (folder / "score.py").write_text(text)
        keys.append(cold(folder))
    for number in range(20):
        (folder / "score.py").write_text(texts[number % 2])
        assert read(folder)[0] == keys[number % 2]


def test_a_file_that_was_changed_shortly_before_it_was_read_is_read_again(folder: Path, clock: Clock) -> None:
    clock.ahead = 1.0
    read(folder)
    clock.ahead = LATER
    assert read(folder)[1] == size_of(folder)
    assert read(folder)[1] == 0


def test_a_file_from_the_future_is_read_again(folder: Path, clock: Clock) -> None:
    end = clock.time() + LATER
    os.utime(folder / "score.py", (end, end))
    read(folder)
    assert read(folder) == (cold(folder), len("x = 1\n"))
    assert not is_settled((folder / "score.py").stat(), clock.time_ns())


def test_after_the_clock_was_set_back_everything_is_read_again(folder: Path, clock: Clock) -> None:
    read(folder)
    clock.ahead = LATER - 1
    assert read(folder)[1] == size_of(folder)


def flipped(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_a_damaged_cache_is_none(folder: Path) -> None:
    key, _ = read(folder)
    whole = cache_of(folder).read_bytes()
    for at in range(0, len(whole), 7):
        flipped(cache_of(folder), at)
        assert read(folder) == (key, size_of(folder)), at
        assert cache_of(folder).read_bytes()[-32:] != whole[-32:]  # written anew, at another time
        cache_of(folder).write_bytes(whole)
    for size in range(0, len(whole), 7):
        cache_of(folder).write_bytes(whole[:size])
        assert read(folder) == (key, size_of(folder)), size


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_cache(folder: Path, make: Callable[[Path], object]) -> None:
    key, _ = read(folder)
    file = cache_of(folder)
    file.unlink()
    make(file)
    assert read(folder) == (key, size_of(folder))


def test_a_cache_is_its_users_alone(folder: Path) -> None:
    read(folder)
    assert stat.S_IMODE(cache_of(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(cache_of(folder).parent.stat().st_mode) == 0o700


def test_what_another_user_could_have_written_is_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = read(folder)
    whole = cache_of(folder).read_bytes()
    for mode in (0o620, 0o602):
        cache_of(folder).chmod(mode)
        assert read(folder)[1] == size_of(folder)
    cache_of(folder).parent.chmod(0o770)
    assert read(folder)[1] == size_of(folder)
    cache_of(folder).parent.chmod(0o700)
    assert read(folder)[1] == 0
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    before = cache_of(folder).read_bytes()
    assert read(folder) == (key, size_of(folder))
    assert cache_of(folder).read_bytes() == before != whole


def test_a_link_to_another_users_folder_is_not_written_to(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (folder.parent / "cache" / "azureml-scoring").mkdir(parents=True)
    (folder.parent / "cache" / "azureml-scoring" / "digests").symlink_to(elsewhere)
    read(folder)
    assert not list(elsewhere.iterdir())


def test_several_runs_at_once_leave_one_whole_cache(folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 100)
    key = cold(folder)
    with ThreadPoolExecutor(8) as runs:
        found = list(runs.map(lambda _: read(folder), range(40)))
    assert {each for each, _ in found} == {key}
    assert {size for _, size in found} <= {0, size_of(folder)}
    assert read(folder) == (key, 0)
    assert cache_of(folder)


@pytest.mark.parametrize("home", ["/dev/null/cache", "/proc/cache"])
def test_without_a_place_to_write_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert read(folder) == read(folder) == (cold(folder), size_of(folder))


def test_without_a_home_directory_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: Path) -> Path:
        msg = "Could not determine home directory."
        raise RuntimeError(msg)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", nobody)
    assert read(folder) == read(folder) == (cold(folder), size_of(folder))


def test_a_relative_cache_directory_is_the_one_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(folder.parent / "home"))
    read(folder)
    assert list((folder.parent / "home" / ".cache" / "azureml-scoring" / "digests").iterdir())


def test_the_cache_can_be_turned_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    monkeypatch.setenv(OFF, "1")
    before = cache_of(folder).stat().st_mtime_ns
    assert read(folder)[1] == size_of(folder)
    assert cache_of(folder).stat().st_mtime_ns == before


def test_a_cache_that_nobody_has_written_for_long_is_removed(folder: Path, clock: Clock) -> None:
    read(folder)
    old = cache_of(folder)
    shutil.copytree(folder, folder.parent / "other", symlinks=True)
    clock.ahead += 29 * 86400
    read(folder.parent / "other")
    assert old.exists()
    clock.ahead += 2 * 86400
    (folder.parent / "other" / "score.py").write_text("x = 2\n")
    read(folder.parent / "other")
    assert not old.exists()


MOUNTS = """\
24 1 8:1 / / rw - ext4 /dev/sda1 rw
25 24 0:40 / /home rw shared:1 - nfs4 server:/home rw
26 25 0:41 / /home/a\\040b rw shared:2 master:1 - xfs /dev/sdb1 rw
27 24 0:42 / /mnt rw - ext4 /dev/sdc1 rw
28 24 0:43 / /mnt rw - 9p drvfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/app", "ext4"),
        ("/home", "nfs4"),
        ("/home/user/app", "nfs4"),
        ("/homes/app", "ext4"),
        ("/home/a b/app", "xfs"),
        ("/mnt/c", "9p"),
    ],
)
def test_the_file_system_is_that_of_the_deepest_and_last_mount(path: str, kind: str) -> None:
    assert digest_cache._file_system(path, MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs4", "9p", "fuse.sshfs", "tmpfs", ""])
def test_where_times_cannot_be_relied_on_files_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(digest_cache, "_file_system", lambda *_: kind)
    assert read(folder) == read(folder) == (cold(folder), size_of(folder))


def test_a_file_of_another_file_system_is_read_again(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.symlink_to("/proc/self/mountinfo")
    assert elsewhere.stat().st_dev != folder.stat().st_dev
    cache = DigestCache(folder)
    cache.add(elsewhere.stat(), b"x" * 32)
    cache.save()
    assert DigestCache(folder).is_empty


def test_a_file_that_another_file_system_has_by_the_same_inode_and_times_is_another(folder: Path) -> None:
    read(folder)
    here = (folder / "score.py").stat()
    names = ("st_size", "st_ino", "st_mtime_ns", "st_ctime_ns")
    there = SimpleNamespace(**{name: getattr(here, name) for name in names}, st_dev=here.st_dev + 1)
    cache = DigestCache(folder)
    assert cache.find(here)
    assert cache.find(cast("os.stat_result", there)) is None


def test_models_and_code_are_not_read_again_either(folder: Path) -> None:
    for path in (folder, folder / "weights"):
        counts: list[int] = []
        keys = {
            asset_key(path, asset_files(path), lambda *each, counts=counts: counts.append(each[2])) for _ in range(2)
        }
        assert len(keys) == 1
        assert counts[-1] == 0 < max(counts)
