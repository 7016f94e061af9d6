"""The documentation: Sphinx, MyST, Furo. `make docs` builds it; every warning is an error."""

import sys
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT / "docs" / "_ext"))

project = "azureml-scoring"
author = "The azureml-scoring contributors"
version = release = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
copyright = author  # noqa: A001 - the name that Sphinx reads

extensions = ["myst_parser", "command_reference", "config_reference", "mermaid"]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3
nitpicky = True
exclude_patterns = ["_build", "samples"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"{project} {version}"
html_show_sphinx = False
