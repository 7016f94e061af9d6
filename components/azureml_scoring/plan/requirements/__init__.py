"""What Azure ML asks of an image, as checks with an id, a level and a remedy.

Owns the checks before the build (`before`, from the Dockerfile) and after it (`after`, from a probe of the image), and
the catalogue of public base images. Refuses to own the reading of files, registries and config. Pure.
"""

from azureml_scoring.plan.requirements.after import ImageInspection, after
from azureml_scoring.plan.requirements.before import Checks, before, made_of, named, reference
from azureml_scoring.plan.requirements.findings import Finding

__all__ = [
    "Checks",
    "Finding",
    "ImageInspection",
    "after",
    "before",
    "made_of",
    "named",
    "reference",
]
