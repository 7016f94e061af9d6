"""The journeys of `sdk.py`, by Azure's own Python libraries."""

import json
import re
from pathlib import Path

import pytest

from tests.clients.conftest import Clients

SCRIPT = Path(__file__).with_name("sdk.py")
JOURNEYS = re.findall(r"^def ([a-z]\w+)\(\) -> None:", SCRIPT.read_text(), re.MULTILINE)[:-1]


@pytest.fixture(scope="module")
def told(clients: Clients) -> dict[str, str]:
    """What went wrong in each journey."""
    keys = clients.az("storage", "account", "keys", "list", "--account-name", clients.account, "--query", "[].value")
    assert isinstance(keys, list)
    names = {"ACCOUNT": clients.account, "ACCOUNT_KEY": keys[0], "VAULT": clients.vault}
    clients.environment.update(names)
    report = clients.folder / "journeys.json"
    clients.run("python", str(SCRIPT), str(report), *JOURNEYS)
    found: dict[str, str] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_journey_with_azures_own_library_succeeds(told: dict[str, str], journey: str) -> None:
    assert told[journey] == ""
