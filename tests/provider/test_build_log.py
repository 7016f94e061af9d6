"""What `pulumi up` shows of a build: made of a log as BuildKit and Docker write it."""

import pytest
from azureml_scoring.provider.build_log import BuildProgress, plain

LOG = """\
2026/11/30 11:54:58 Downloading source code...
#1 [internal] load build definition from Dockerfile
#1 sha256:ee4da3458db5be56c543ecac9c9afafc65fd54e802b1ebfe02ac8eb16c3a16fc
#1 transferring dockerfile: 2.35kB done
#1 DONE 0.0s
#4 [1/4] FROM docker.io/library/base:bookworm
#4 sha256:513cf5a6d7a7 10.49MB / 930.43MB 2.0s
#4 sha256:513cf5a6d7a7 310.49MB / 930.43MB 12.4s
#4 sha256:513cf5a6d7a7 910.49MB / 930.43MB 14.4s
#4 DONE 15.1s
#5 [2/4] WORKDIR /srv
#5 CACHED
#7 [3/4] RUN --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt     pip install -r /tmp/r.txt
#7 sha256:621d03b3fe5b4166ed65e332f280cdf9c4d927d608c459b11be3c83cd76d8622
#7 1.365 Collecting annotated-types==0.8.0
#7 1.422   Downloading annotated_types-0.8.0-py3-none-any.whl (13 kB)
#7 1.447      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 220.9/220.9 kB 242.6 MB/s eta 0:00:00
#8 [builder 1/1] COPY score.py ./
#8 DONE 0.1s
#7 [3/4] RUN --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt     pip install -r /tmp/r.txt
#7 12.55 Installing collected packages: pytz, fixedint
#7 13.60 WARNING: Running pip as the 'root' user can result in broken permissions
#7 29.46 Successfully installed annotated-types-0.8.0
#7 DONE 31.0s
#11 exporting to image
#11 exporting layers 1.4s done
#11 DONE 1.4s
2026/11/30 11:55:31 Pushing image: acr.azurecr.io/team/iris:abc
The push refers to repository [acr.azurecr.io/team/iris]
12edc7483183: Preparing
12edc7483183: Pushed
ba3d5cd6fb1c: digest: sha256:85bd2b8f5fac size: 1571
Run ID: ca1 was successful after 50s
"""


def _shown(log: str) -> list[str]:
    progress = BuildProgress()
    return [line for line in map(progress, map(plain, log.splitlines())) if line]


def test_a_build_is_a_line_a_step_and_how_far_a_long_one_is() -> None:
    assert _shown(LOG) == [
        "2026/11/30 11:54:58 Downloading source code...",
        "step 1/4: FROM docker.io/library/base:bookworm",
        "step 1/4, 12 s: sha256:513cf5a6d7a7 310.49MB / 930.43MB",
        "step 1/4: done in 15.1 s",
        "step 2/4: WORKDIR /srv",
        "step 3/4: RUN --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt pip install -r…",
        "step builder 1/1: COPY score.py ./",
        "step 3/4, 13 s: Installing collected packages: pytz, fixedint",
        "step 3/4: WARNING: Running pip as the 'root' user can result in broken permissions",
        "step 3/4, 29 s: Successfully installed annotated-types-0.8.0",
        "step 3/4: done in 31.0 s",
        "exporting to image",
        "exporting to image: done in 1.4 s",
        "2026/11/30 11:55:31 Pushing image: acr.azurecr.io/team/iris:abc",
        "ba3d5cd6fb1c: digest: sha256:85bd2b8f5fac size: 1571",
        "Run ID: ca1 was successful after 50s",
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("10 %\r50 %\r100 %", "100 %"),
        ("done\r", "done"),
        ("\x1b[32mgreen\x1b[0m", "green"),
        ("bell\x07 and\x1b[2K gone  ", "bell and gone"),
    ],
)
def test_a_line_is_what_a_terminal_would_show(line: str, shown: str) -> None:
    assert plain(line) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("#2 [internal] load metadata\n#2 ERROR: base:none: not found", "build: ERROR: base:none: not found"),
        ("#7 [3/4] RUN x\n#7 ERROR: process did not complete", "step 3/4: ERROR: process did not complete"),
        ("Step 1/2 : FROM base", "Step 1/2 : FROM base"),
    ],
)
def test_an_error_and_what_no_builder_writes_are_shown(line: str, shown: str) -> None:
    assert _shown(line)[-1] == shown
