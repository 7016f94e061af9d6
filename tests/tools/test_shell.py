import os
import sys
import threading
from pathlib import Path

import pytest

from tools import shell
from tools.shell import ToolError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "azureml-scoring"


def test_cache_follows_the_user_s_variable() -> None:
    assert shell.cache({"XDG_CACHE_HOME": "/somewhere", "HOME": "/home/me"}) == Path("/somewhere/azureml-scoring")
    assert shell.cache({"HOME": "/home/me"}) == Path("/home/me/.cache/azureml-scoring")


def test_failed_command_is_told_in_one_line_with_its_last_words_and_the_remedy() -> None:
    code = "print('first'); print('the  disk\\tis full'); raise SystemExit(3)"
    with pytest.raises(ToolError) as caught:
        shell.run([sys.executable, "-c", code], what="filling", remedy="empty the disk")
    assert str(caught.value) == "filling: the disk is full (exit status 3); empty the disk"


def test_missing_program_is_named() -> None:
    with pytest.raises(ToolError, match=r"^looking: no-such-program is not on PATH; install it$"):
        shell.run(["no-such-program"], what="looking", remedy="install it")


def test_command_that_does_not_end_is_given_up() -> None:
    with pytest.raises(ToolError, match=r"^waiting: no answer within 1 s$"):
        shell.run([sys.executable, "-c", "import time; time.sleep(600)"], what="waiting", timeout=1)


def test_messages_leave_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shell.say("a message")
    with shell.progress("A step"):
        pass
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["» a message", "» A step"]


def test_lock_lets_one_at_a_time_do_the_work(cache: Path) -> None:
    order: list[str] = []
    inside = threading.Event()
    go_on = threading.Event()

    def first() -> None:
        with shell.alone("thing"):
            inside.set()
            go_on.wait(120)
            order.append("first")

    def second() -> None:
        inside.wait(120)
        with shell.alone("thing"):
            order.append("second")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    inside.wait(120)
    go_on.set()
    for thread in threads:
        thread.join(120)
    assert order == ["first", "second"]
    assert (cache / "locks" / "thing.lock").exists()


def test_scratch_folder_goes_even_when_the_work_fails(cache: Path) -> None:
    def work() -> None:
        with shell.scratch("work") as folder:
            (folder / "half").touch()
            raise ToolError("no")

    with pytest.raises(ToolError):
        work()
    assert list(cache.iterdir()) == []


def test_own_link_is_never_found_as_the_program_itself(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = shell.link("python-here", Path(sys.executable))
    monkeypatch.setenv("PATH", f"{cache / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert link.resolve() == Path(sys.executable).resolve()
    assert shell.which("python-here") is None
    assert shell.every("python-here") == []


def test_link_moves_to_another_program(cache: Path, tmp_path: Path) -> None:
    shell.link("tool", Path(sys.executable))
    assert shell.link("tool", tmp_path).readlink() == tmp_path
    assert [path.name for path in (cache / "bin").iterdir()] == ["tool"]
