import pytest
from azureml_scoring.plan.requirements import public_images

MCR = "mcr.microsoft.com/azureml"


@pytest.mark.parametrize(
    ("name", "successor"),
    [
        (f"{MCR}/o16n-sample-user-base/ubuntu-miniconda", "minimal-py312-inference"),
        (f"{MCR}/o16n-sample-user-base/ubuntu-miniconda:latest", "minimal-py312-inference"),
        (f"{MCR}/onnxruntime:latest", "minimal-py312-inference"),
        (f"{MCR}/onnxruntime:latest-cuda", "gpu-inference"),
        (f"{MCR}/onnxruntime:latest-tensorrt", "gpu-inference"),
        (f"{MCR}/onnxruntime:latest-openvino-vadm", "onnxruntime-openvino"),
        (f"{MCR}/onnxruntime:latest-openvino-myriad", "onnxruntime-openvino"),
        (f"{MCR}/base:intelmpi2018.3-ubuntu16.04", "openmpi5.0-ubuntu24.04"),
        (f"{MCR}/base-gpu:latest", "gpu-inference"),
        (f"{MCR}/openmpi3.1.2-ubuntu18.04:20210615.v1", "openmpi5.0-ubuntu24.04"),
        (f"{MCR}/sklearn-0.24.1-ubuntu18.04-py37-cpu-inference:latest", "minimal-py312-inference"),
    ],
)
def test_each_image_of_the_document_has_a_successor_with_source_and_day(name: str, successor: str) -> None:
    found = public_images.finding(name)
    assert found is not None
    assert successor in found[1]
    assert "https://" in found[1]
    assert public_images.CHECKED in found[1]


def test_every_successor_is_itself_current() -> None:
    for image in public_images.CATALOGUE:
        if image.retired:
            successor = public_images.find(image.successor)
            assert successor is not None, image.successor
            assert not successor.retired
