"""The example's image, built once per run by the real engine, and a container of it."""

import os
from collections.abc import Iterator

import pytest

from tests.examples.engine import PROJECT, Engine
from tools import base_image, engine


@pytest.fixture(scope="session")
def docker() -> Engine:
    """The engine that runs, with the base image in it."""
    folder = engine.builder()
    if folder is None or not engine.answers():
        pytest.skip("needs a running Docker engine and a client with BuildKit: run `make ready`")
    base_image.ensure()
    return Engine(str(folder / "docker"))


@pytest.fixture(scope="session")
def image(docker: Engine) -> Iterator[str]:
    """The example's image; the engine's cache makes this quick from the second time on."""
    tag = f"azureml-scoring-example:test-{os.getpid()}"
    docker.build(PROJECT, tag)
    yield tag
    docker.run("rmi", tag)


@pytest.fixture(scope="module")
def service(docker: Engine, image: str) -> Iterator[str]:
    """The address of one container of the image."""
    with docker.container(image) as container:
        yield docker.address(container)
