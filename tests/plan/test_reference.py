"""Claims about image names."""

import pytest
from azureml_scoring.plan.reference import Reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "wanted", "tagged"),
    [
        ("ghcr.io/team/app", Reference("ghcr.io", "team/app"), "ghcr.io/team/app:latest"),
        ("ghcr.io/app:v1.2", Reference("ghcr.io", "app", "v1.2"), "ghcr.io/app:v1.2"),
        (f"localhost:5000/a/b@{DIGEST}", Reference("localhost:5000", "a/b", "", DIGEST), "localhost:5000/a/b:latest"),
        (f"ghcr.io/app:v1@{DIGEST}", Reference("ghcr.io", "app", "v1", DIGEST), "ghcr.io/app:v1"),
    ],
)
def test_a_name_is_taken_apart(text: str, wanted: Reference, tagged: str) -> None:
    assert Reference.parse(text) == wanted
    assert wanted.tagged == tagged


def test_only_a_digest_without_a_tag_is_fixed() -> None:
    assert Reference.parse(f"ghcr.io/app@{DIGEST}").fixed
    assert not Reference.parse(f"ghcr.io/app:v1@{DIGEST}").fixed
    assert not Reference.parse("ghcr.io/app").fixed


@pytest.mark.parametrize("text", ["app", "app:v1", ""])
def test_a_name_without_a_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no image name; write host/repository:tag"):
        Reference.parse(text)
