import pytest
from azureml_scoring.settings.rules import RULES, checked, duration_of, seconds_of, spelled_size

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
    "instanceType": ["Standard_DS3_v2", "STANDARD_NC4AS_T4_V3", "standard_ds3", "Standard_DS11-1_v2"],
    "route": ["/", "/score", "/v1/models/wine:predict", "/v1/models/wine@2:predict", "/a%20b"],
    "duration": ["PT1S", "PT1M30S", "PT2H", "PT0.5S"],
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
    "instanceType": ["DS3_v2", "Standard_", "Basic_A1"],
    "route": ["score", "", "/a b", "/a?b", "/a#b"],
    "duration": ["10", "10s", "PT", "PT1D", "P1D", "PT.5S", "PT0.5M"],
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


@pytest.mark.parametrize(
    ("duration", "seconds"), [("PT180S", 180), ("PT3M", 180), ("PT3M1S", 181), ("PT1H", 3600), ("PT0.5S", 0.5)]
)
def test_a_duration_is_counted_in_seconds_whatever_its_units(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


def test_an_arm_id_is_taken_in_any_case() -> None:
    (registry,) = GOOD["registryId"]
    assert checked("registryId", registry.lower().replace("/registries/", "/Registries/"))


@pytest.mark.parametrize(("seconds", "duration"), [(0.5, "PT0.5S"), (3, "PT3S"), (180, "PT180S"), (7200.5, "PT7200S")])
def test_seconds_are_written_as_a_duration(seconds: float, duration: str) -> None:
    assert duration_of(seconds) == duration


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("STANDARD_NC4AS_T4_V3", "Standard_NC4as_T4_v3"),
        ("standard_ds3_v2", "Standard_DS3_v2"),
        ("Standard_E64S_v3", "Standard_E64s_v3"),
        ("standard_nd96isr_mi300x_v5", "Standard_ND96isr_MI300X_v5"),
        ("STANDARD_E4-2S_V5", "Standard_E4-2s_v5"),
        ("Standard_NC24ads_A100_v4", "Standard_NC24ads_A100_v4"),
        ("defaultinstancetype", "defaultinstancetype"),
    ],
)
def test_a_machine_size_is_written_in_azures_spelling(written: str, spelled: str) -> None:
    assert spelled_size(written) == spelled


def test_an_arm_id_is_taken_in_any_case_and_written_in_azures_spelling() -> None:
    group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/Models"
    ours = f"{group}/PROVIDERS/microsoft.machinelearningservices/WORKSPACES/environments/models/versions/Versions/1"
    azures = (
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/Models/providers/"
        "Microsoft.MachineLearningServices/workspaces/environments/models/versions/versions/1"
    )
    assert checked("modelReference", ours) == azures
