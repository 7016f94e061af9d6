"""Claims about names of images: Docker's with a host are taken, and the line of another has the whole name."""

import re

import pytest
from azureml_scoring.plan.reference import Reference
from azureml_scoring.settings.rules import RULES

from tests.docker_read import ask

D = f"sha256:{'0123456789abcdef' * 4}"
HOSTS = """
    ghcr.io GHCR.IO a.b.c localhost localhost:5000 LOCALHOST:5000 127.0.0.1 127.0.0.1:5000 [::1] [::1]:5000
    [2001:db8::1]:443 [fe80::1%eth0] [::ffff:1.2.3.4] ::1 a-b.c a--b.c -a.b a-.b a.-b a..b .a a. a_b.c a.b:0 a.b:65536
    a.b:123456 a.b: a.b:x a:5000 xn--bcher-kva.example bücher.example 1.2 a host docker.io index.docker.io
    registry-1.docker.io scoringdev.azurecr.io mcr.microsoft.com quay.io public.ecr.aws europe-docker.pkg.dev
"""
NOWHERE = {"a.b:0", "a.b:65536", "a.b:123456", "1.2"}
"""Hosts that Docker takes and no machine can have."""
PATHS = f"""
    a a/b a/b/c a/b/c/d/e/f/g A a/B MyOrg/App:v1 a_b a__b a___b a.b a..b a-b a--b a---b a.-b a_-b -a a- _a a_ .a a. a//b
    a/ /a 1 0/0 a+b a%2fb a:b a:B a:V1.2_x-y a:_x a:.x a:-x a: a:a:b a:ä ä a:{"t" * 128} a:{"t" * 129} {"p" * 255}
    {"p" * 256} {"p" * 127}/{"p" * 127} {"p" * 128}/{"p" * 127} {"p" * 255}:t {"p" * 256}@{D} a@{D} a:1@{D} a@{D}:1
    a@{D.upper()} a@sha256:12 a@sha256:{"g" * 64} a@{D}0 a@sha256: a@ a@1 @{D} a:1@ a/b:1@{D} a/b@{D}@{D} a?b a#b a:1?b
"""
OTHERS = f"""
    ubuntu ubuntu:24.04 Ubuntu:24.04 ubuntu@{D} vllm/vllm-openai:latest vllm/vllm-openai Vllm/vllm-openai
    vllm/vllm-openai@{D} library/ubuntu nvidia/cuda:12.4.1-runtime-ubuntu22.04 tensorflow/serving:2.17.0 org/team/app:1
    docker.io/ubuntu docker.io/library/ubuntu docker.io/a/b:1 index.docker.io/ubuntu https://ghcr.io/a/b:1
    docker://ghcr.io/a/b:1 http://a/b ghcr.io ghcr.io/ ghcr.io:1 a:1 :1 / @ {"a" * 64} {D} localhost:5000
    pytorch/TorchServe:latest
"""
BLANKS = ["", " ", " ghcr.io/a:1", "ghcr.io/a:1 ", "ghcr.io/a b:1", "ghcr.io/a:1\n", "\tghcr.io/a", "ghcr.io/a\u00a0b"]
NAMES = [
    *(f"{host}/app:1" for host in HOSTS.split()),
    *(f"ghcr.io/{path}" for path in PATHS.split()),
    *OTHERS.split(),
    *BLANKS,
]


def completed(host: str, repository: str) -> tuple[str, str]:
    """Docker's own completion of names of Docker Hub."""
    hub = host in {"docker.io", "index.docker.io"}
    return ("docker.io", repository if "/" in repository else f"library/{repository}") if hub else (host, repository)


def test_what_docker_takes_with_its_host_is_taken_and_read_alike() -> None:
    for text, docker in zip(NAMES, ask("references", NAMES), strict=True):
        problem = RULES["imageReference"].problem(text)
        written = re.match(r"[^/]*[.:][^/]*/|localhost/", text)
        if not docker.get("host") or docker["host"] in NOWHERE or not written:
            assert problem is not None, text
        else:
            assert problem is None, text
            read = Reference.parse(text)
            assert (*completed(read.host, read.repository), read.tag, read.digest) == tuple(docker.values()), text


def test_the_line_of_a_name_that_docker_completes_has_the_whole_name() -> None:
    for text, docker in zip(NAMES, ask("references", NAMES), strict=True):
        problem = RULES["imageReference"].problem(text)
        if problem and "error" not in docker and docker["host"] == "docker.io":
            tail = (docker["tag"] and f":{docker['tag']}") + (docker["digest"] and f"@{docker['digest']}")
            assert problem.endswith(f"; write docker.io/{docker['repository']}{tail}"), text


@pytest.mark.parametrize(
    ("text", "write"),
    [
        ("ghcr.io/MyOrg/App:v1", "ghcr.io/myorg/app:v1"),
        ("vllm/vllm-openai:latest", "docker.io/vllm/vllm-openai:latest"),
        ("pytorch/TorchServe:latest", "docker.io/pytorch/torchserve:latest"),
        ("MyOrg/app:1", "docker.io/myorg/app:1"),
        ("https://ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        ("[::1]:5000/A:V1", "[::1]:5000/a:V1"),
        (f"App@{D}", f"docker.io/library/app@{D}"),
    ],
)
def test_a_name_that_is_nearly_right_is_refused_with_the_right_one(text: str, write: str) -> None:
    problem = RULES["imageReference"].problem(text)
    assert problem is not None
    assert problem.endswith(f"; repositories in small letters, Docker Hub's with docker.io/; write {write}")
    assert RULES["imageReference"].problem(write) is None


def test_the_example_stands_where_no_name_can_be_guessed() -> None:
    for text in ("ghcr.io/a:", "", "ghcr.io/a b", f"ghcr.io/{'p' * 256}"):
        problem = str(RULES["imageReference"].problem(text))
        assert problem.endswith("for instance mcr.microsoft.com/azureml/curated/sklearn:12")
    assert str(RULES["pinnedImage"].problem(f"Team/App@{D}")).endswith(f"write docker.io/team/app@{D}")
    assert "for instance" in str(RULES["pinnedImage"].problem("ghcr.io/team/app:1"))
