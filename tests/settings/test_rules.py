import pytest
from azureml_scoring.settings.rules import RULES, checked, seconds_of

GOOD = {
    "resourceGroup": ["rg", "scoring_dev.(1)", "x" * 90],
    "registry": ["acr01", "Scoring", "a" * 50],
    "storageAccount": ["abc", "scoring0dev"],
    "vault": ["kv1", "scoring-dev"],
    "workspace": ["ml-1", "Scoring_dev"],
    "endpoint": ["abc", "scoring-dev-1"],
    "deployment": ["blue", "v2-1"],
    "repository": ["scoring", "team/scoring_x/sklearn-1.2", "a__b"],
    "location": ["westeurope", "eastus2"],
    "instanceType": ["Standard_DS3_v2", "Standard_NC4as_T4_v3"],
    "route": ["/", "/score", "/v1/models/wine:predict".replace(":", "-")],
    "duration": ["PT1S", "PT1M30S", "PT2H"],
    "platform": ["linux/amd64", "linux/arm/v7"],
    "imageReference": [
        f"localhost:5000/a/b@sha256:{'0' * 64}",
        f"mcr.microsoft.com/a@sha256:{'f' * 64}",
        "ghcr.io/team/app",
        "localhost/app:v1.2_x",
        f"ghcr.io/app:v1@sha256:{'0' * 64}",
    ],
    "vaultSecret": [
        "https://ours.vault.azure.net/secrets/pull-password",
        f"https://localhost:4443/secrets/pull/{'0' * 32}",
    ],
    "variable": ["LOG_LEVEL", "_x"],
    "date": ["2027-01-31T00:00:00Z"],
    "registryId": [
        (
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg"
            "/providers/Microsoft.ContainerRegistry/registries/acr01"
        )
    ],
}
BAD = {
    "resourceGroup": ["", "ends.", "x" * 91, "a b"],
    "registry": ["my-registry", "acr", "a" * 51, "acr_01", "acr01\n"],
    "storageAccount": ["ab", "Scoring", "a-b-c", "a" * 25],
    "vault": ["1kv", "kv--1", "kv-", "a" * 25],
    "workspace": ["ml", "-ml", "a" * 34],
    "endpoint": ["ab", "1ab", "ab-", "a_b", "a" * 33],
    "deployment": ["b", "blue_1"],
    "repository": ["Scoring", "scoring:v1", "/scoring", "scoring/", "a//b", ""],
    "location": ["West Europe", "WestEurope", "eu-west-1"],
    "instanceType": ["DS3_v2", "standard_ds3", "Standard_"],
    "route": ["score", "", "/a b"],
    "duration": ["10", "10s", "PT", "PT1D", "P1D"],
    "platform": ["amd64", "windows/amd64"],
    "imageReference": [
        "scoring:v1",
        "host/scoring:v1",
        f"scoring@sha256:{'0' * 64}",
        "ghcr.io/a@sha256:12",
        "ghcr.io/a:",
    ],
    "vaultSecret": [
        "pull-password",
        "http://ours.vault.azure.net/secrets/pull",
        "https://vault.azure.net.example.com/secrets/pull",
        "https://ours.vault.azure.net/keys/pull",
    ],
    "variable": ["1A", "A-B", ""],
    "date": ["2027-01-31", "tomorrow", "2027-01-31T00:00:00+01:00"],
    "registryId": [
        "acr01",
        "/subscriptions/x/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/acr01",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD.items() for text in texts])
def test_what_azure_takes_is_taken(kind: str, text: str) -> None:
    assert checked(kind, text) == text


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD.items() for text in texts])
def test_what_azure_refuses_is_refused_with_an_example(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"; (for instance|write) "):
        checked(kind, text)


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_says_itself_on_one_line(kind: str) -> None:
    problem = RULES[kind].problem("\n")
    assert problem is None or "\n" not in problem
    assert len(RULES[kind].words) < 120


@pytest.mark.parametrize(("duration", "seconds"), [("PT180S", 180), ("PT3M", 180), ("PT3M1S", 181), ("PT1H", 3600)])
def test_a_duration_is_counted_in_seconds_whatever_its_units(duration: str, seconds: int) -> None:
    assert seconds_of(duration) == seconds


def test_an_arm_id_is_taken_in_any_case() -> None:
    (registry,) = GOOD["registryId"]
    assert checked("registryId", registry.lower().replace("/registries/", "/Registries/"))
