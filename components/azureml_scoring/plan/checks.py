"""Requests that a deployment is tested with before it serves: what a preview knows of their files.

Refuses to own sending them and the comparison of replies (`provider/`).
"""

import json
from pathlib import Path

from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.rollout import CheckSettings


def plan_checks(checks: At) -> list[CheckSettings]:
    """Return the checks with absolute paths; raise for a file that cannot be read, or is not JSON."""
    return [CheckSettings(request=_file(each.request), reply=_file(each.reply)) for _, each in checks.entries()]


def _file(field: At) -> str:
    path = Path(field()).resolve()
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            field.refused(f"it cannot be read ({error.strerror}); name a file of JSON", str(path))
        ) from None
    except ValueError as error:
        raise SettingsError(field.refused(f"it is not JSON ({error}); correct the file", str(path))) from None
    return str(path)
