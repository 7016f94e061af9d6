import pytest

from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId

GROUP = "/subscriptions/s/resourceGroups/rg"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/acr"


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/subscriptions/s", "Microsoft.Resources/subscriptions"),
        (GROUP, "Microsoft.Resources/resourceGroups"),
        (REGISTRY, "Microsoft.ContainerRegistry/registries"),
        (f"{REGISTRY}/runs/ca1", "Microsoft.ContainerRegistry/registries/runs"),
        (f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments/g", "Microsoft.Authorization/roleAssignments"),
        ("/providers/Microsoft.Graph/applications/a", "Microsoft.Graph/applications"),
    ],
)
def test_an_id_tells_its_type(path: str, type_: str) -> None:
    assert ResourceId.parse(path).type == type_


@pytest.mark.parametrize(
    "path", ["", "/", "/subscriptions", f"{GROUP}/providers", f"{GROUP}/providers/Microsoft.X", "/a/b", "//"]
)
def test_what_is_no_id_is_refused(path: str) -> None:
    with pytest.raises(AzureError, match="InvalidResourceId"):
        ResourceId.parse(path)


def test_parents_go_up_to_the_subscription() -> None:
    seen = []
    id_: ResourceId | None = ResourceId.parse(f"{REGISTRY}/runs/ca1")
    while id_ is not None:
        seen.append(id_.name)
        id_ = id_.parent
    assert seen == ["ca1", "acr", "rg", "s"]


def test_the_parent_of_an_extension_is_its_scope() -> None:
    extension = ResourceId.parse(f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments/g")
    assert extension.parent is not None
    assert extension.parent.path == REGISTRY


def test_ids_are_the_same_in_any_case() -> None:
    assert ResourceId.parse(GROUP.upper()).key == ResourceId.parse(GROUP.lower()).key


def test_an_id_is_written_as_azure_writes_it() -> None:
    given = "/SUBSCRIPTIONS/s/resourcegroups/Rg/providers/microsoft.keyvault//VAULTS/Kv/secrets/One"
    spelled = ResourceId.parse(given).spelled("Microsoft.KeyVault/vaults/secrets")
    assert spelled.path == "/subscriptions/s/resourceGroups/Rg/providers/Microsoft.KeyVault/vaults/Kv/secrets/One"
    group = ResourceId.parse("/subscriptions/s/resourcegroups/Rg").spelled("Microsoft.Resources/resourceGroups")
    assert group.path == "/subscriptions/s/resourceGroups/Rg"
