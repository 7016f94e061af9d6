"""The public base images that the document of Azure ML's custom images lists, and what took their place.

Owns the catalogue: which images Microsoft has stopped making, and today's successor, with the source and the day it was
read. Refuses to own images that it does not list: of those nothing is said. Pure.
"""

import re
from dataclasses import dataclass
from typing import Final

CHECKED: Final = "2026-11-24"
"""The day on which the sources were read."""
PREBUILT: Final = "https://learn.microsoft.com/azure/machine-learning/concept-prebuilt-docker-images-inference"
CONTAINERS: Final = "https://github.com/Azure/AzureML-Containers"
ONNXRUNTIME: Final = "https://github.com/microsoft/onnxruntime/blob/main/dockerfiles/README.md"

_CPU: Final = "mcr.microsoft.com/azureml/minimal-py312-inference:latest"
_GPU: Final = "mcr.microsoft.com/azureml/minimal-ubuntu22.04-py39-cuda11.8-gpu-inference:latest"
_BASE: Final = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04"


@dataclass(frozen=True)
class PublicImage:
    """An image, or a family of them, in Microsoft's public registry."""

    pattern: str
    """The whole name (with the tag where that decides) must match this."""
    successor: str
    """The image that does its work today; empty for one that is current."""
    source: str
    note: str = ""
    """What else has to change."""

    @property
    def retired(self) -> bool:
        """Whether it gets no new versions."""
        return bool(self.successor)


def _azureml(name: str) -> str:
    return rf"mcr\.microsoft\.com/azureml/{name}"


CATALOGUE: Final[tuple[PublicImage, ...]] = (
    # The document's own table, in its order.
    PublicImage(
        _azureml(r"o16n-sample-user-base/ubuntu-miniconda(:.*)?"), _CPU, PREBUILT, "it has no conda but Python"
    ),
    PublicImage(_azureml(r"onnxruntime:[^:]*openvino.*"), _CPU, ONNXRUNTIME, "and pip install onnxruntime-openvino"),
    PublicImage(_azureml(r"onnxruntime:[^:]*(cuda|tensorrt).*"), _GPU, ONNXRUNTIME, "and pip install onnxruntime-gpu"),
    PublicImage(_azureml(r"onnxruntime(:.*)?"), _CPU, ONNXRUNTIME, "and pip install onnxruntime"),
    # The bases that the document names for DEFAULT_CPU_IMAGE and its table of dependencies.
    PublicImage(_azureml(r"base-gpu(:.*)?"), _GPU, CONTAINERS),
    PublicImage(_azureml(r"base(:.*)?"), _BASE, CONTAINERS),
    PublicImage(_azureml(r"(intelmpi|openmpi)\S*cuda\S*-ubuntu(16|18|20)\.04(:.*)?"), _GPU, CONTAINERS),
    PublicImage(_azureml(r"(intelmpi|openmpi)\S*-ubuntu(16|18|20)\.04(:.*)?"), _BASE, CONTAINERS),
    PublicImage(_azureml(r"\S*-ubuntu(16|18|20)\.04-py\d+-cuda\S*-gpu-inference(:.*)?"), _GPU, PREBUILT),
    PublicImage(_azureml(r"\S*-ubuntu(16|18|20)\.04-py\d+-cpu-inference(:.*)?"), _CPU, PREBUILT),
    # Current ones.
    PublicImage(_azureml(r"minimal-py312-inference(:.*)?"), "", PREBUILT),
    PublicImage(_azureml(r"minimal-ubuntu22\.04-py39-cpu-inference(:.*)?"), "", PREBUILT),
    PublicImage(_azureml(r"minimal-ubuntu22\.04-py39-cuda11\.8-gpu-inference(:.*)?"), "", PREBUILT),
    PublicImage(_azureml(r"openmpi5\.0-ubuntu24\.04(:.*)?"), "", CONTAINERS),
)
"""The first that matches counts."""


def find(name: str) -> PublicImage | None:
    """Look an image up by the name of a FROM or of a reference; its digest does not matter."""
    plain = name.partition("@")[0].lower()
    return next((image for image in CATALOGUE if re.fullmatch(image.pattern, plain)), None)


def finding(name: str) -> tuple[str, str] | None:
    """Tell the successor of a retired image."""
    image = find(name)
    if image is None or not image.retired:
        return None
    note = f" ({image.note})" if image.note else ""
    text = f"{name} is retired and gets no fixes; use {image.successor}{note}; {image.source}, read {CHECKED}"
    return "AML-IMG-016", text
