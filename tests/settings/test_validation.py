from datetime import UTC, datetime
from typing import Any

import pytest
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.stack import StackSettings
from azureml_scoring.settings.validation import validate

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def refusals(settings: dict[str, Any], now: datetime = NOW) -> list[str]:
    """What the rules over several fields say."""
    written = {"location": "westeurope", **{name: each for name, each in settings.items() if each is not None}}
    try:
        validate(parse(StackSettings, written), now)
    except SettingsError as error:
        return str(error).splitlines()
    return []


WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
    "/providers/Microsoft.MachineLearningServices/workspaces/ml"
)
ACR = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
    "/providers/Microsoft.ContainerRegistry/registries/acr01"
)
IDENTITY = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/theirs"
)
AKS = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
    "/providers/Microsoft.ContainerService/managedClusters/aks"
)
IMAGE = f"host.io/x@sha256:{'0' * 64}"
MACHINE = {"instance_type": "Standard_DS3_v2"}
STANDALONE: dict[str, Any] = {
    "registry": {"mode": "standalone"},
    "principal": {"kind": "service-principal"},
    "image": {"context": "."},
    "deployments": {"blue": MACHINE},
}
PUBLIC: dict[str, Any] = {
    "registry": {"mode": "public"},
    "principal": {"kind": "none"},
    "image": {"reference": IMAGE},
    "deployments": {"blue": MACHINE},
}
PRIVATE: dict[str, Any] = {
    "registry": {"mode": "private", "address": "host.io", "username": "me", "password": "x"},
    "principal": {"kind": "none"},
    "image": {"reference": IMAGE},
    "deployments": {"blue": MACHINE},
}
TWO: dict[str, Any] = {"blue": MACHINE, "green": MACHINE}
BUILT: dict[str, Any] = {
    "registry": {"mode": "workspace"},
    "principal": None,
    "image": None,
    "environment": {"base": "a.io/b:1", "conda_file": "conda.yml"},
    "code": {"path": "app", "entry_script": "score.py"},
}
"""What Azure ML builds; None takes a section of STANDALONE out."""


def scheduled(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    """Sections with an autoscale setting that has a schedule."""
    night = {"days": ["Sunday"], "min": 1, "max": 2, **changes}
    return {"deployments": {"blue": {**MACHINE, "autoscale": {"min": 1, "max": 3, "schedules": {"night": night}}}}}


FINE: dict[str, dict[str, Any]] = {
    "a schedule": {**STANDALONE, **scheduled(start="08:00", end="18:00", time_zone="W. Europe Standard Time")},
    "standalone and service principal": STANDALONE,
    "no principal section": {name: section for name, section in STANDALONE.items() if name != "principal"},
    "standalone and managed identity": {**STANDALONE, "principal": {"kind": "managed-identity"}},
    "an environment that Azure ML builds": {
        **{name: section for name, section in BUILT.items() if section is not None},
        "deployments": {"blue": MACHINE, "green": {**MACHINE, "image": IMAGE, "routes": {"port": 80}}},
        "endpoint": {"traffic": {"blue": 100}},
    },
    "no image where every deployment has its own, or a model that Azure serves": {
        "registry": {"mode": "workspace"},
        "deployments": {
            "blue": {**MACHINE, "image": IMAGE},
            "green": {**MACHINE, "environment": {"reference": "azureml:ours@latest"}},
            "red": {**MACHINE, "model": {"path": "app", "type": "mlflow"}},
            "grey": {**MACHINE, "model": {"reference": "azureml://registries/azureml/models/phi-3.5/versions/2"}},
        },
        "endpoint": {"traffic": {"blue": 100}},
    },
    "an existing registry": {**STANDALONE, "registry": {"mode": "standalone", "id": ACR}},
    "an existing abac registry, built by docker": {
        **STANDALONE,
        "registry": {"mode": "standalone", "id": ACR, "role_assignment_mode": "abac"},
        "image": {"context": ".", "builder": "docker"},
    },
    "several platforms and build secrets, built by docker-build": {
        **STANDALONE,
        "image": {
            "context": ".",
            "builder": "docker-build",
            "platforms": ["linux/arm64", "linux/amd64"],
            "build_secrets": {"A": "x"},
        },
    },
    "nobody but the endpoint for a standalone registry": {**STANDALONE, "principal": {"kind": "none"}},
    "a service principal and an existing identity": {**STANDALONE, "endpoint": {"identity": IDENTITY}},
    "the workspace's registry": {**STANDALONE, "registry": {"mode": "workspace"}, "principal": {"kind": "none"}},
    "the workspace's registry and an identity": {
        **STANDALONE,
        "registry": {"mode": "workspace"},
        "principal": {"kind": "managed-identity"},
    },
    "a public registry": PUBLIC,
    "a private registry": PRIVATE,
    "a private registry and the one that an existing workspace gets": {
        **PRIVATE,
        "registry": {**PRIVATE["registry"], "id": ACR, "role_assignment_mode": "abac"},
        "workspace": {"id": WORKSPACE},
    },
    "an existing registry by its login server": {
        **STANDALONE,
        "registry": {"mode": "standalone", "login_server": "acr01.azurecr.io"},
    },
    "a registry for an existing workspace": {
        **STANDALONE,
        "registry": {"mode": "workspace", "id": ACR},
        "workspace": {"id": WORKSPACE},
        "principal": {"kind": "none"},
    },
    "two passwords": {
        **STANDALONE,
        "principal": {
            "kind": "service-principal",
            "passwords": {"old": {"expires": "2026-05-01T00:00:00Z"}, "new": {"expires": "2027-05-01T00:00:00Z"}},
            "current": "new",
        },
    },
    "a split": {**STANDALONE, "deployments": TWO, "endpoint": {"traffic": {"blue": 90, "green": 10}}},
    "an image from another registry, beside what would build it": {
        **STANDALONE,
        "image": {"context": ".", "promote": IMAGE},
    },
    "a kubernetes endpoint on a cluster that is attached": {
        **STANDALONE,
        "endpoint": {"kind": "kubernetes", "compute": "aks", "cluster": {"id": AKS}, "auth": "aml-token"},
        "deployments": {
            "blue": {
                "scale": {"min_instances": 1, "max_instances": 3},
                "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "0.5", "memory": "1Gi", "gpu": 1}},
                "request_settings": {"request_timeout": "PT5M"},
            }
        },
    },
    "a kubernetes endpoint on a compute of an existing workspace": {
        **STANDALONE,
        "workspace": {"id": WORKSPACE},
        "endpoint": {"kind": "kubernetes", "compute": f"{WORKSPACE}/computes/aks"},
        "deployments": {"blue": {"instance_type": "gpu-large", "instance_count": 60}},
    },
    "a count that Azure Monitor sets": {
        **STANDALONE,
        "deployments": {
            "blue": {
                **MACHINE,
                "egress_public_network_access": False,
                "autoscale": {
                    "min": 1,
                    "max": 5,
                    "rules": [{"metric": "RequestsPerMinute", "above": 100.0, "change": 2, "cooldown": "PT1M"}],
                },
            }
        },
    },
    "a mirror": {**STANDALONE, "deployments": TWO, "endpoint": {"traffic": {"blue": 100}, "mirror": {"green": 50}}},
}

ON_CLUSTER: dict[str, Any] = {
    **STANDALONE,
    "endpoint": {"kind": "kubernetes", "compute": "aks", "cluster": {"id": AKS}},
    "deployments": {"blue": {}},
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a reference and an import": (
        {"image": {"reference": IMAGE, "promote": IMAGE}},
        f'image.promote = "{IMAGE}": image.reference names an image that is used where it is',
    ),
    "an import into a public registry": (
        {**PUBLIC, "image": {"promote": IMAGE}},
        f'image.promote = "{IMAGE}": a public registry is only read; name the image there by image.reference',
    ),
    "a machine on a cluster": (
        {**ON_CLUSTER, "deployments": {"blue": MACHINE}},
        'deployments.blue.instanceType = "Standard_DS3_v2": an instance type of a cluster takes the name of an',
    ),
    "Azure Monitor on a cluster": (
        {**ON_CLUSTER, "deployments": {"blue": {"autoscale": {"min": 1, "max": 2}}}},
        "deployments.blue.autoscale = {…}: Azure Monitor scales managed deployments only; write scale",
    ),
    "egress of a cluster": (
        {**ON_CLUSTER, "deployments": {"blue": {"egress_public_network_access": False}}},
        "deployments.blue.egressPublicNetworkAccess = false: the cluster's own network decides what it reaches",
    ),
    "a count and a scale": (
        {**ON_CLUSTER, "deployments": {"blue": {"instance_count": 2, "scale": {"max_instances": 2}}}},
        "deployments.blue.instanceCount = 2: scale says how many; take out one of them",
    ),
    "a scale upside down": (
        {**ON_CLUSTER, "deployments": {"blue": {"scale": {"min_instances": 3, "max_instances": 2}}}},
        "deployments.blue.scale.minInstances = 3: it is more than maxInstances, 2; write less",
    ),
    "more asked for than allowed": (
        {**ON_CLUSTER, "deployments": {"blue": {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1"}}}}},
        'deployments.blue.resources.requests.cpu = "1500m": it is more than the limit, 1; write less',
    ),
    "half a GPU": (
        {**ON_CLUSTER, "deployments": {"blue": {"resources": {"requests": {"gpu": 1}, "limits": {"gpu": 2}}}}},
        "deployments.blue.resources.requests.gpu = 1: a GPU is never shared",
    ),
    "a compute of another workspace": (
        {**ON_CLUSTER, "endpoint": {"kind": "kubernetes", "compute": f"{WORKSPACE}/computes/aks"}},
        f'endpoint.compute = "{WORKSPACE}/computes/aks": it lies in another workspace; name that one by workspace.id',
    ),
    "an id for a compute that is attached": (
        {
            **ON_CLUSTER,
            "endpoint": {"kind": "kubernetes", "compute": f"{WORKSPACE}/computes/aks", "cluster": {"id": AKS}},
        },
        f'endpoint.compute = "{WORKSPACE}/computes/aks": endpoint.cluster is attached under a plain name; write one',
    ),
    "logs of an existing workspace without a place": (
        {"workspace": {"id": WORKSPACE}, "endpoint": {"diagnostics": {}}},
        'endpoint.diagnostics.logWorkspace = "": where to?',
    ),
    "an unknown mode": ({"registry": {"mode": "shared"}}, 'registry.mode = "shared": one of'),
    "an id in mode workspace": (
        {"registry": {"mode": "workspace", "id": ACR}, "principal": {"kind": "none"}},
        f'registry.id = "{ACR}": mode workspace takes none unless workspace.id names an existing one',
    ),
    "a login server and an id": (
        {"registry": {"mode": "standalone", "id": ACR, "login_server": "acr01.azurecr.io"}},
        'registry.loginServer = "acr01.azurecr.io": registry.id names the registry already; take out one of them',
    ),
    "a login server in mode public": (
        {**PUBLIC, "registry": {"mode": "public", "login_server": "acr01.azurecr.io"}},
        'registry.loginServer = "acr01.azurecr.io": mode public takes none; write registry.mode: standalone',
    ),
    "a private registry without an address": (
        {**PRIVATE, "registry": {"mode": "private", "username": "me", "password": "x"}},
        'registry.address = "": which registry? write its host',
    ),
    "a private registry without a user name": (
        {**PRIVATE, "registry": {"mode": "private", "address": "host.io", "password": "x"}},
        'registry.username = "": who reads it? write a user name',
    ),
    "an image that is not in the private registry": (
        {**PRIVATE, "image": {"reference": "elsewhere.io/x:1"}},
        'image.reference = "elsewhere.io/x:1": the credentials are for registry.address host.io; name an image there',
    ),
    "a build for a private registry": (
        {**PRIVATE, "image": {"context": "."}},
        'image.context = ".": a private registry is only read; name the image by image.reference',
    ),
    "a principal for a private registry": (
        {**PRIVATE, "principal": {"kind": "service-principal"}},
        'principal.kind = "service-principal": registry.username reads a private registry; take out principal',
    ),
    "a password and a secret that has it": (
        {**PRIVATE, "registry": {**PRIVATE["registry"], "password_secret": "https://v1.vault.azure.net/secrets/x"}},
        (
            'registry.passwordSecret = "https://v1.vault.azure.net/secrets/x": registry.password is written too; '
            "take out one of them"
        ),
    ),
    "a password for a standalone registry": (
        {"registry": {"mode": "standalone", "password": "x"}},
        'registry.password = "[hidden]": mode standalone takes none; write registry.mode: private',
    ),
    "a name for an existing registry": (
        {"registry": {"mode": "standalone", "id": ACR, "name": "acr02"}},
        'registry.name = "acr02": registry.id names a registry that exists; take out one',
    ),
    "a sku in mode public": (
        {**PUBLIC, "registry": {"mode": "public", "sku": "Basic"}},
        'registry.sku = "Basic": mode public makes no registry; take it out',
    ),
    "abac for a new registry": (
        {"registry": {"mode": "standalone", "role_assignment_mode": "abac"}, "image": {"reference": IMAGE}},
        'registry.roleAssignmentMode = "abac": only an existing registry can be in it',
    ),
    "abac and acr tasks": (
        {"registry": {"mode": "standalone", "id": ACR, "role_assignment_mode": "abac"}},
        'image.builder = "acr": ACR Tasks has no rights',
    ),
    "a name for an existing workspace": (
        {"workspace": {"id": WORKSPACE, "vault": "kv1"}},
        'workspace.vault = "kv1": workspace.id names a workspace that exists; take out one of them',
    ),
    "an existing group without a name": (
        {"workspace": {"resource_group_exists": True}},
        "workspace.resourceGroupExists = true: which one? write workspace.resourceGroup too",
    ),
    "an unknown principal": ({"principal": {"kind": "user"}}, 'principal.kind = "user": one of'),
    "a principal for a public registry": (
        {**PUBLIC, "principal": {"kind": "service-principal"}},
        'principal.kind = "service-principal": a public registry is read without one; take out principal',
    ),
    "a service principal for the workspace's registry": (
        {"registry": {"mode": "workspace"}},
        'principal.kind = "service-principal": the workspace\'s own registry takes no credentials',
    ),
    "an existing identity beside one that is made": (
        {"principal": {"kind": "managed-identity"}, "endpoint": {"identity": IDENTITY}},
        f'endpoint.identity = "{IDENTITY}": principal.kind managed-identity makes one; take out one of them',
    ),
    "an id in mode private": (
        {**PRIVATE, "registry": {**PRIVATE["registry"], "id": ACR}},
        f'registry.id = "{ACR}": mode private takes none unless workspace.id names an existing one',
    ),
    "passwords of a managed identity": (
        {"principal": {"kind": "managed-identity", "passwords": {"a": {}}}},
        'principal.passwords = "a": managed-identity has no password; take them out',
    ),
    "three passwords": (
        {"principal": {"kind": "service-principal", "passwords": {"a": {}, "b": {}, "c": {}}, "current": "a"}},
        'principal.passwords = "a, b, c": two are enough while one takes over',
    ),
    "two passwords and none in use": (
        {"principal": {"kind": "service-principal", "passwords": {"a": {}, "b": {}}}},
        'principal.current = "": which password is in use? one of a, b',
    ),
    "an unknown password in use": (
        {"principal": {"kind": "service-principal", "passwords": {"a": {}}, "current": "b"}},
        'principal.current = "b": no such password in principal.passwords (a)',
    ),
    "an expired password in use": (
        {"principal": {"kind": "service-principal", "passwords": {"a": {"expires": "2026-05-31T23:59:59Z"}}}},
        'principal.passwords.a.expires = "2026-05-31T23:59:59Z": it is over; add another password',
    ),
    "reference and context": (
        {"image": {"reference": IMAGE, "context": "."}},
        'image.context = ".": image.reference names an image that is built; take out one of them',
    ),
    "build secrets of an image that is built": (
        {"image": {"reference": IMAGE, "build_secrets": {"A": "x"}}},
        'image.buildSecrets = "A": image.reference names an image that is built; take out one of them',
    ),
    "build secrets for pulumi-docker": (
        {"image": {"context": ".", "builder": "docker", "build_secrets": {"A": "x", "B": "y"}}},
        'image.buildSecrets = "A, B": pulumi-docker can pass none to a build; write builder: acr or docker-build',
    ),
    "several platforms for ACR Tasks": (
        {"image": {"context": ".", "platforms": ["linux/amd64", "linux/arm64"]}},
        'image.platforms = "linux/amd64, linux/arm64": builder acr builds for one; write builder: docker-build',
    ),
    "platforms without the one that Azure ML runs": (
        {"image": {"context": ".", "builder": "docker-build", "platforms": ["linux/arm64"]}},
        'image.platforms = "linux/arm64": Azure ML runs linux/amd64; add it',
    ),
    "a platform beside several": (
        {
            "image": {
                "context": ".",
                "builder": "docker-build",
                "platforms": ["linux/amd64"],
                "platform": "linux/amd64",
            }
        },
        'image.platform = "linux/amd64": image.platforms names them all; take out one of the two',
    ),
    "neither reference nor context": ({"image": {}}, 'image.context = "": name the folder to build from'),
    "a build for a public registry": (
        {**PUBLIC, "image": {"context": "."}},
        'image.context = ".": a public registry is only read; name the image by image.reference',
    ),
    "an unknown builder": (
        {"image": {"context": ".", "builder": "kaniko"}},
        'image.builder = "kaniko": one of acr, docker, docker-build',
    ),
    "no deployment": ({"deployments": {}}, "deployments = {}: an endpoint without one answers nothing"),
    "an unknown way to sign in": ({"endpoint": {"auth": "basic"}}, 'endpoint.auth = "basic": one of key, '),
    "traffic to nobody": (
        {"endpoint": {"traffic": {"green": 100}}},
        "endpoint.traffic.green = 100: no such deployment; one of blue",
    ),
    "traffic of 90 percent": (
        {"endpoint": {"traffic": {"blue": 90}}},
        'endpoint.traffic = "90 percent together": Azure takes 100; correct the shares',
    ),
    "two deployments and no split": (
        {"deployments": TWO},
        "endpoint.traffic = {}: say how blue, green share 100 percent",
    ),
    "a mirror of live traffic": (
        {"deployments": TWO, "endpoint": {"traffic": {"blue": 90, "green": 10}, "mirror": {"green": 10}}},
        "endpoint.mirror.green = 10: it has 10 percent of the live traffic",
    ),
    "a mirror of 60 percent": (
        {"deployments": TWO, "endpoint": {"traffic": {"blue": 100}, "mirror": {"green": 60}}},
        "endpoint.mirror.green = 60: Azure mirrors 50 percent at most",
    ),
    "an environment beside an image": (
        {**BUILT, "image": {"context": "app"}},
        'environment.base = "a.io/b:1": image says already what runs; take out one of them',
    ),
    "an environment in a registry beside the workspace": (
        {**BUILT, "registry": {"mode": "standalone"}, "principal": {"kind": "service-principal"}},
        'registry.mode = "standalone": Azure ML builds an environment in the workspace\'s own registry',
    ),
    "an environment without packages": (
        {**BUILT, "environment": {"base": "a.io/b:1"}},
        'environment.base = "a.io/b:1": name one file of packages, condaFile or requirementsFile',
    ),
    "an environment that says its Python twice": (
        {**BUILT, "environment": {"base": "a.io/b:1", "conda_file": "c.yml", "python": "3.11"}},
        'environment.python = "3.11": condaFile says which',
    ),
    "an environment without an entry script": (
        {**BUILT, "code": None},
        'deployments.blue.code = "": the server of environment runs an entry script; name code.path',
    ),
    "an environment on routes of one's own": (
        {**BUILT, "deployments": {"blue": {**MACHINE, "routes": {"port": 8080}}}},
        "deployments.blue.routes = {…}: Azure ML's own server has fixed routes",
    ),
    "an environment without a base": (
        {**BUILT, "environment": {"conda_file": "conda.yml"}},
        'environment.base = "": name the base image, or a registered environment by reference',
    ),
    "a registered environment with packages": (
        {**BUILT, "environment": {"reference": "azureml:ours:1", "conda_file": "conda.yml"}},
        'environment.condaFile = "conda.yml": reference names an environment that exists; take out one of them',
    ),
    "routes with a registered environment": (
        {
            "image": None,
            "environment": {"reference": "azureml:ours:1"},
            "deployments": {"blue": {**MACHINE, "routes": {"port": 8080}}},
        },
        "deployments.blue.routes = {…}: the registered environment has its own; take it out",
    ),
    "a deployment with an image and an environment": (
        {"deployments": {"blue": {**MACHINE, "image": IMAGE, "environment": {"reference": "azureml:ours:1"}}}},
        "deployments.blue.image = {…}: environment says already what runs; take out one of them",
    ),
    "a folder of registered code": (
        {
            **BUILT,
            "code": {"path": "app", "reference": f"{WORKSPACE}/codes/app/versions/1", "entry_script": "score.py"},
        },
        'code.path = "app": reference names a version that is registered; take out one of them',
    ),
    "an entry script that is not Python's": (
        {**BUILT, "code": {"path": "app", "entry_script": "plumber.R"}},
        'code.entryScript = "plumber.R": the server of environment runs Python; name a .py file',
    ),
    "a deployment without anything to run": (
        {
            "image": None,
            "deployments": {"blue": MACHINE, "green": {**MACHINE, "image": IMAGE}},
            "endpoint": {"traffic": {"blue": 100}},
        },
        'image.context = "": name the folder to build from, or an existing image by image.reference',
    ),
    "a version of a registered model": (
        {"model": {"reference": "azureml:iris:3", "version": "4"}},
        'model.version = "4": reference names a version that is registered; take out one of them',
    ),
    "a schedule over midnight": (
        scheduled(start="22:00", end="06:00"),
        'deployments.blue.autoscale.schedules.night.end = "06:00": it is not after start, 22:00;',
    ),
    "a schedule with more instances than Azure takes": (
        scheduled(max=60),
        "deployments.blue.autoscale.schedules.night.max = 60: Azure takes 50; share over two deployments",
    ),
    "an endpoint's metric of a deployment": (
        scheduled(rules=[{"metric": "RequestLatency", "above": 1, "change": 1}]),
        'deployments.blue.autoscale.schedules.night.rules.0.metric = "RequestLatency": it is no metric of the',
    ),
    "a deployment's metric of an endpoint": (
        scheduled(rules=[{"metric": "DiskUtilization", "of": "endpoint", "above": 1, "change": 1}]),
        'deployments.blue.autoscale.schedules.night.rules.0.metric = "DiskUtilization": it is no metric of the',
    ),
    "two mirrors": (
        {
            "deployments": {**TWO, "red": MACHINE},
            "endpoint": {"traffic": {"blue": 100}, "mirror": {"green": 5, "red": 5}},
        },
        'endpoint.mirror = "green, red": Azure mirrors to one deployment; take out the others',
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_what_azure_can_do_is_not_refused(case: str) -> None:
    assert refusals(FINE[case], NOW) == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_azure_cannot_do_is_refused_in_one_line_with_the_remedy(case: str) -> None:
    sections, words = REFUSED[case]
    given = {name: section for name, section in {**STANDALONE, **sections}.items() if section is not None}
    told = refusals(given, NOW)
    assert [text[: len(words)] for text in told] == [words]
    assert "\n" not in told[0]
