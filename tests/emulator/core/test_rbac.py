import pytest

from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import ASSIGNMENTS, ROLES, AccessControl, Principal, Role
from emulator.core.store import Document, Store

GROUP = ResourceId.parse("/subscriptions/s/resourceGroups/rg")
REGISTRY = GROUP.child("providers/Microsoft.ContainerRegistry/registries", "acr")
SOMEBODY = Principal("who", "principal", "app")
PULL = "Microsoft.ContainerRegistry/registries/pull/read"
PUSH = "Microsoft.ContainerRegistry/registries/push/write"
_IDS = {role.name: id_ for id_, role in ROLES.items()}


@pytest.fixture
def access(tmp_path_factory: pytest.TempPathFactory) -> AccessControl:
    return AccessControl(Store(tmp_path_factory.mktemp("state")))


def _grant(access: AccessControl, role: str, scope: ResourceId, who: str = "who") -> None:
    id_ = ResourceId.parse(f"{scope.path}/providers/{ASSIGNMENTS}/{_IDS[role]}")
    properties = {"principalId": who, "roleDefinitionId": f"/x/{_IDS[role]}", "scope": scope.path}
    access._store.put(Document(id_, {"properties": properties}))


def test_nobody_may_do_anything_without_a_role(access: AccessControl) -> None:
    with pytest.raises(AzureError, match=f"object id 'who' does not have authorization to perform action '{PULL}'"):
        access.demand(SOMEBODY, PULL, REGISTRY)


def test_acr_pull_may_pull_but_not_push(access: AccessControl) -> None:
    _grant(access, "AcrPull", REGISTRY)
    assert access.allows(SOMEBODY, PULL, REGISTRY)
    assert not access.allows(SOMEBODY, PUSH, REGISTRY)


def test_a_role_holds_below_its_scope_and_not_beside_it(access: AccessControl) -> None:
    _grant(access, "AcrPull", GROUP)
    assert access.allows(SOMEBODY, PULL, REGISTRY)
    assert not access.allows(SOMEBODY, PULL, ResourceId.parse(REGISTRY.path.replace("/rg/", "/rg2/")))


def test_scopes_are_compared_in_any_case(access: AccessControl) -> None:
    _grant(access, "AcrPull", ResourceId.parse(GROUP.path.upper()))
    assert access.allows(SOMEBODY, PULL.lower(), REGISTRY)


def test_a_contributor_writes_everything_but_role_assignments(access: AccessControl) -> None:
    _grant(access, "Contributor", GROUP)
    assert access.allows(SOMEBODY, "Microsoft.ContainerRegistry/registries/write", REGISTRY)
    assert not access.allows(SOMEBODY, f"{ASSIGNMENTS}/write", REGISTRY)


def test_an_owner_has_no_data_actions(access: AccessControl) -> None:
    _grant(access, "Owner", GROUP)
    secret = GROUP.child("providers/Microsoft.KeyVault/vaults", "kv").child("secrets", "s")
    assert not access.allows(SOMEBODY, "Microsoft.KeyVault/vaults/secrets/getSecret/action", secret, data=True)


def test_a_role_of_somebody_else_does_not_count(access: AccessControl) -> None:
    _grant(access, "Owner", GROUP, "another")
    assert not access.allows(SOMEBODY, PULL, REGISTRY)


def test_an_excluded_action_wins_over_a_granted_one() -> None:
    role = Role("r", ("*",), ("Microsoft.X/*",))
    assert role.allows("Microsoft.Y/z/read", data=False)
    assert not role.allows("Microsoft.X/z/read", data=False)
