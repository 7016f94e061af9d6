import copy
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.stack import StackSettings
from azureml_scoring.settings.stack_file import load, parse

ROOT = Path(__file__).parents[2]
ACR = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shared"
    "/providers/Microsoft.ContainerRegistry/registries/sharedacr"
)
REFERENCE = f"mcr.microsoft.com/azureml/served@sha256:{'cd' * 32}"
REMOVED = object()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def usual() -> dict[str, Any]:
    return {
        "location": "westeurope",
        "registry": {"mode": "standalone"},
        "image": {"context": "app", "repository": "scoring/app"},
        "deployments": {"blue": {"instanceType": "Standard_DS3_v2"}},
    }


def changed(path: str, value: object) -> dict[str, Any]:
    """The usual config with one field written, or taken out."""
    given = usual()
    *parents, last = path.split("/")
    section = given
    for parent in parents:
        section = section.setdefault(parent, {})
    if value is REMOVED:
        del section[last]
    else:
        section[last] = value
    return given


BAD: list[tuple[str, object, str]] = [
    # renamed fields
    ("endpoint/probe", {"data": 1}, "scoring:endpoint.probe = {…}: it is called smokeTest now; write that"),
    # misspelt fields
    ("registri", {}, "scoring:registri = {}: no such field; did you mean registry?"),
    ("registry/modus", "x", 'scoring:registry.modus = "x": no such field; did you mean mode?'),
    (
        "registry/colour",
        1,
        (
            "scoring:registry.colour = 1: no such field; one of mode, id, loginServer, address, username, password, "
            "passwordSecret, name, sku, roleAssignmentMode"
        ),
    ),
    (
        "image/build_arguments",
        {"A": "1"},
        "scoring:image.build_arguments = {…}: no such field; did you mean buildArguments?",
    ),
    (
        "deployments/blue/instancetype",
        "Standard_DS3_v2",
        'scoring:deployments.blue.instancetype = "Standard_DS3_v2": no such field; did you mean instanceType?',
    ),
    (
        "deployments/blue/livenessProbe",
        {"initialDelai": "PT1S"},
        'scoring:deployments.blue.livenessProbe.initialDelai = "PT1S": no such field; did you mean initialDelay?',
    ),
    (
        "principal/passwords",
        {"first": {"expire": "2030-01-01T00:00:00Z"}},
        'scoring:principal.passwords.first.expire = "2030-01-01T00:00:00Z": no such field; did you mean expires?',
    ),
    ("image/contxt", "app", 'scoring:image.contxt = "app": no such field; did you mean context?'),
    (
        "workspace/resourcegroup",
        "rg",
        'scoring:workspace.resourcegroup = "rg": no such field; did you mean resourceGroup?',
    ),
    ("workspace/keyVault", "kv", 'scoring:workspace.keyVault = "kv": no such field; did you mean vault?'),
    ("endpoint/trafic", {"blue": 100}, "scoring:endpoint.trafic = {…}: no such field; did you mean traffic?"),
    ("endpoint/authMode", "key", 'scoring:endpoint.authMode = "key": no such field; did you mean auth?'),
    (
        "deployments/blue/enviromentVariables",
        {"A": "1"},
        "scoring:deployments.blue.enviromentVariables = {…}: no such field; did you mean environmentVariables?",
    ),
    (
        "deployments/blue/requestSettings",
        {"timeout": "PT5S"},
        'scoring:deployments.blue.requestSettings.timeout = "PT5S": no such field; did you mean requestTimeout?',
    ),
    (
        "deployments/blue/routes",
        {"score": "/score"},
        'scoring:deployments.blue.routes.score = "/score": no such field; did you mean scoring?',
    ),
    ("principal/password", "first", 'scoring:principal.password = "first": no such field; did you mean passwords?'),
    ("tag", {"a": "b"}, "scoring:tag = {…}: no such field; did you mean tags?"),
    # missing fields
    ("location", REMOVED, "scoring:location is missing: write it; see Pulumi.local.yaml, scoring:location"),
    ("deployments", REMOVED, "scoring:deployments is missing: write it; see Pulumi.local.yaml, scoring:deployments"),
    (
        "deployments/blue/instanceType",
        REMOVED,
        'scoring:deployments.blue.instanceType = "": which machine? write a size, such as Standard_DS3_v2',
    ),
    # names
    (
        "registry/name",
        "my-registry",
        (
            'scoring:registry.name = "my-registry": a registry name takes 5 to 50 letters and digits, no dash; '
            "for instance scoringdev"
        ),
    ),
    (
        "registry/id",
        "sharedacr",
        (
            'scoring:registry.id = "sharedacr": a registry\'s ARM id takes '
            "/subscriptions/…/resourceGroups/…/providers/Microsoft.ContainerRegistry/registries/NAME; "
            "for instance what `az acr show --name NAME --query id` prints"
        ),
    ),
    (
        "workspace/storageAccount",
        "My-Storage",
        (
            'scoring:workspace.storageAccount = "My-Storage": a storage account takes 3 to 24 small '
            "letters and digits; "
            "for instance scoringdev"
        ),
    ),
    (
        "workspace/vault",
        "a-vault-with-much-too-long-a-name",
        (
            'scoring:workspace.vault = "a-vault-with-much-too-long-a-name": a key vault takes 3 to '
            "24 letters, digits and "
            "single dashes, a letter first; for instance scoring-dev"
        ),
    ),
    (
        "workspace/resourceGroup",
        "ends.",
        (
            'scoring:workspace.resourceGroup = "ends.": a resource group takes 1 to 90 letters, digits and . _ - ( ), '
            "no . at the end; for instance scoring-dev"
        ),
    ),
    (
        "endpoint/name",
        "1endpoint",
        (
            'scoring:endpoint.name = "1endpoint": an endpoint takes 3 to 32 letters, digits and '
            "dashes, a letter first; "
            "for instance scoring-dev"
        ),
    ),
    (
        "deployments/blue_1",
        {"instanceType": "Standard_DS3_v2"},
        (
            'scoring:deployments.blue_1 = "blue_1": a deployment takes 3 to 32 letters, digits and '
            "dashes, a letter first; "
            "for instance blue"
        ),
    ),
    (
        "location",
        "West Europe",
        (
            'scoring:location = "West Europe": a location takes Azure\'s short form: small letters, no blank; '
            "for instance westeurope"
        ),
    ),
    (
        "image/repository",
        "Scoring:v1",
        (
            'scoring:image.repository = "Scoring:v1": a repository takes small letters and digits, '
            "parted by . _ - or /, "
            "without a tag; for instance scoring/sklearn"
        ),
    ),
    (
        "image/requirements",
        {"AML-IMG-099": "off"},
        (
            'scoring:image.requirements.AML-IMG-099 = "AML-IMG-099": '
            "no such check; one of AML-IMG-001 to AML-IMG-016, see the documentation of images"
        ),
    ),
    (
        "image/requirements",
        {"AML-IMG-001": "loud"},
        'scoring:image.requirements.AML-IMG-001 = "loud": a level is one of error, warning, info, off',
    ),
    (
        "image/platform",
        "amd64",
        'scoring:image.platform = "amd64": a platform takes linux/ and an architecture; for instance linux/amd64',
    ),
    (
        "image/buildArguments",
        {"1A": "x"},
        (
            'scoring:image.buildArguments.1A = "1A": an environment variable takes letters, digits '
            "and _, no digit first; "
            "for instance LOG_LEVEL"
        ),
    ),
    (
        "deployments/blue/instanceType",
        "DS3_v2",
        (
            'scoring:deployments.blue.instanceType = "DS3_v2": an instance type takes a size\'s '
            "full name with Standard_; "
            "for instance Standard_DS3_v2"
        ),
    ),
    (
        "deployments/blue/image",
        "azureml/served:12",
        (
            'scoring:deployments.blue.image.reference = "azureml/served:12": an image reference takes '
            "host/repository:tag, host/repository@sha256:… or both; repositories in small letters, Docker Hub's with "
            "docker.io/; "
            "write docker.io/azureml/served:12"
        ),
    ),
    (
        "image/reference",
        "mcr.microsoft.com/azureml/served@12",
        (
            'scoring:image.reference = "mcr.microsoft.com/azureml/served@12": an image reference takes '
            "host/repository:tag, host/repository@sha256:… or both; repositories in small letters, Docker Hub's with "
            "docker.io/; "
            "for instance mcr.microsoft.com/azureml/curated/sklearn:12"
        ),
    ),
    (
        "image/buildSecrets",
        {"1A": "x"},
        (
            'scoring:image.buildSecrets.1A = "[hidden]": an environment variable takes letters, digits '
            "and _, no digit first; for instance LOG_LEVEL"
        ),
    ),
    (
        "image/buildSecrets",
        {"A": 5},
        'scoring:image.buildSecrets.A = "[hidden]": write a text, in quotes where it looks like a number',
    ),
    (
        "image",
        {"context": "app", "builder": "docker", "buildSecrets": {"A": "x"}},
        'scoring:image.buildSecrets = "A": pulumi-docker can pass none to a build; write builder: acr or docker-build',
    ),
    (
        "registry/passwordSecret",
        "https://vault.example.com/secrets/pull",
        (
            'scoring:registry.passwordSecret = "[hidden]": a vault secret\'s id takes '
            "https://VAULT.vault.azure.net/secrets/NAME, with /VERSION where it shall stay one; "
            "for instance what `az keyvault secret show --vault-name VAULT --name NAME --query id` prints"
        ),
    ),
    (
        "registry/passwordSecret",
        "https://ours.vault.azure.net/secrets/pull",
        (
            'scoring:registry.passwordSecret = "https://ours.vault.azure.net/secrets/pull": '
            "mode standalone takes none; write registry.mode: private"
        ),
    ),
    (
        "deployments/blue/environmentVariables",
        {"LOG-LEVEL": "x"},
        (
            'scoring:deployments.blue.environmentVariables.LOG-LEVEL = "LOG-LEVEL": an environment variable takes '
            "letters, digits and _, no digit first; for instance LOG_LEVEL"
        ),
    ),
    (
        "image/baseDigest",
        "sha256:abc",
        (
            'scoring:image.baseDigest = "sha256:abc": a digest takes sha256: and 64 hexadecimal digits; for '
            "instance sha256:3f0c…"
        ),
    ),
    (
        "registry/loginServer",
        "https://shared.azurecr.io",
        (
            'scoring:registry.loginServer = "https://shared.azurecr.io": a registry\'s address takes a host '
            "name, with a port where it has one, without https:// and path; for instance ghcr.io"
        ),
    ),
    (
        "registry/id",
        REFERENCE,
        (
            f'scoring:registry.id = "{REFERENCE}": a registry\'s ARM id takes '
            "/subscriptions/…/resourceGroups/…/providers/Microsoft.ContainerRegistry/registries/NAME; for "
            "instance what `az acr show --name NAME --query id` prints"
        ),
    ),
    (
        "workspace/id",
        "ml",
        (
            'scoring:workspace.id = "ml": a workspace\'s ARM id takes '
            "/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/NAME; "
            "for instance what `az ml workspace show --name NAME --query id` prints"
        ),
    ),
    (
        "workspace/name",
        "my workspace",
        (
            'scoring:workspace.name = "my workspace": a workspace takes 3 to 33 letters, digits, - and _; '
            "for instance scoring-dev"
        ),
    ),
    (
        "principal/passwords",
        {"Erstes": {}},
        (
            'scoring:principal.passwords.Erstes = "Erstes": a password\'s name takes 1 to 32 small letters, '
            "digits and dashes; for instance 2026-07"
        ),
    ),
    (
        "principal/passwords",
        {"a": {"expires": "2031-01-01T00:00:00Z"}, "b": {}, "c": {}},
        'scoring:principal.passwords = "a, b, c": two are enough while one takes over; take out those that nobody uses',
    ),
    (
        "endpoint/mirror",
        {"blue": 10},
        (
            "scoring:endpoint.mirror.blue = 10: it has 100 percent of the live traffic; a mirror takes a "
            "deployment that has none"
        ),
    ),
    (
        "deployments/b",
        {"instanceType": "Standard_DS3_v2"},
        (
            'scoring:deployments.b = "b": a deployment takes 3 to 32 letters, digits and dashes, a letter '
            "first; for instance blue"
        ),
    ),
    # choices
    (
        "registry/mode",
        "shared",
        'scoring:registry.mode = "shared": one of workspace, standalone, public, private',
    ),
    (
        "registry/password",
        12345,
        'scoring:registry.password = "[hidden]": write a text, in quotes where it looks like a number',
    ),
    ("registry/passwort", "hunter2", 'scoring:registry.passwort = "[hidden]": no such field; did you mean password?'),
    ("registry/sku", "basic", 'scoring:registry.sku = "basic": one of Basic, Standard, Premium'),
    (
        "principal/kind",
        "user",
        'scoring:principal.kind = "user": one of service-principal, managed-identity, none',
    ),
    (
        "image/promote",
        "devacr.azurecr.io/scoring/app:v1",
        (
            'scoring:image.promote = "devacr.azurecr.io/scoring/app:v1": an image to promote takes '
            "host/repository@sha256:…, because tags move; `docker buildx imagetools inspect IMAGE` tells the digest; "
            "for instance scoringdev.azurecr.io/scoring/sklearn@sha256:3f0c…"
        ),
    ),
    ("endpoint/mirrorFirst", 60, "scoring:endpoint.mirrorFirst = 60: write less than or equal to 50"),
    (
        "endpoint/limits",
        {"errorPercent": 101},
        "scoring:endpoint.limits.errorPercent = 101: write less than or equal to 100",
    ),
    (
        "endpoint/limits",
        {"latency": 100},
        ("scoring:endpoint.limits.latency = 100: no such field; one of errorPercent, latencyMilliseconds"),
    ),
    ("rollout/approval", "maybe", 'scoring:rollout.approval = "maybe": one of required, none'),
    (
        "rollout/checks",
        [{"request": "request.json"}],
        "scoring:rollout.checks.0.reply is missing: write it; see Pulumi.local.yaml, scoring:rollout",
    ),
    ("image/builder", "kaniko", 'scoring:image.builder = "kaniko": one of acr, docker, docker-build'),
    ("endpoint/auth", "basic", 'scoring:endpoint.auth = "basic": one of key, aml-token, aad-token'),
    ("endpoint/kind", "aci", 'scoring:endpoint.kind = "aci": one of managed, kubernetes'),
    # numbers, durations, moments
    (
        "deployments/blue/instanceCount",
        0,
        "scoring:deployments.blue.instanceCount = 0: write greater than or equal to 1",
    ),
    (
        "deployments/blue/instanceCount",
        "two",
        'scoring:deployments.blue.instanceCount = "two": write a whole number',
    ),
    (
        "deployments/blue/routes",
        {"port": 70000},
        "scoring:deployments.blue.routes.port = 70000: write less than or equal to 65535",
    ),
    (
        "deployments/blue/routes",
        {"scoring": "score"},
        (
            'scoring:deployments.blue.routes.scoring = "score": a route takes a path that starts with '
            "/; for instance /score"
        ),
    ),
    (
        "deployments/blue/requestSettings",
        {"requestTimeout": "PT5M"},
        (
            'scoring:deployments.blue.requestSettings.requestTimeout = "PT5M": Azure allows at most 180 seconds; '
            "write PT180S or less"
        ),
    ),
    (
        "deployments/blue/readinessProbe",
        {"period": "10s"},
        (
            'scoring:deployments.blue.readinessProbe.period = "10s": a duration takes ISO 8601: PT, '
            "then hours, minutes, "
            "seconds; for instance PT10S"
        ),
    ),
    (
        "workspace/softDeleteDays",
        3,
        "scoring:workspace.softDeleteDays = 3: write greater than or equal to 7",
    ),
    (
        "endpoint/traffic",
        {"blue": 120},
        "scoring:endpoint.traffic.blue = 120: write less than or equal to 100",
    ),
    (
        "principal/passwords",
        {"first": {"expires": "2030-01-01"}},
        (
            'scoring:principal.passwords.first.expires = "2030-01-01": a date takes a moment in UTC as RFC 3339; '
            "for instance 2027-01-31T00:00:00Z"
        ),
    ),
    ("deployments/blue/instanceCount", 1.5, "scoring:deployments.blue.instanceCount = 1.5: write a whole number"),
    (
        "deployments/blue/appInsights",
        "sometimes",
        'scoring:deployments.blue.appInsights = "sometimes": write true or false',
    ),
    ("endpoint/publicNetworkAccess", "no way", 'scoring:endpoint.publicNetworkAccess = "no way": write true or false'),
    ("endpoint/trafficSteps", [0, 50], "scoring:endpoint.trafficSteps.0.percent = 0: write greater than or equal to 1"),
    (
        "endpoint/trafficSteps",
        [{"percent": 10, "minutes": -1}],
        "scoring:endpoint.trafficSteps.0.minutes = -1: write greater than or equal to 0",
    ),
    (
        "endpoint/trafficSteps",
        [{"minutes": 5}],
        "scoring:endpoint.trafficSteps.0.percent is missing: write it; see Pulumi.local.yaml, scoring:endpoint",
    ),
    *(
        (
            "endpoint",
            {"limits": {"errorPercent": 1}, **endpoint},
            (
                "scoring:endpoint.bakeSeconds = 0: endpoint.limits are measured while a step lasts; write 180 or more, "
                "or minutes at each step, 100 percent included"
            ),
        )
        for endpoint in (
            {},
            {"trafficSteps": [10, {"percent": 100, "minutes": 5}]},
            {"trafficSteps": [{"percent": 10, "minutes": 5}]},
            {"trafficSteps": [{"percent": 100, "minutes": 5}], "mirrorFirst": 10},
        )
    ),
    ("endpoint/bakeSeconds", -5, "scoring:endpoint.bakeSeconds = -5: write greater than or equal to 0"),
    ("endpoint/bakeSeconds", "soon", 'scoring:endpoint.bakeSeconds = "soon": write a number'),
    (
        "deployments/blue/livenessProbe",
        {"failureThreshold": 0},
        "scoring:deployments.blue.livenessProbe.failureThreshold = 0: write greater than or equal to 1",
    ),
    ("workspace/softDeleteDays", 120, "scoring:workspace.softDeleteDays = 120: write less than or equal to 90"),
    # shapes
    (
        "registry",
        "standalone",
        (
            'scoring:registry = "standalone": this is a section; write its fields below it, as in Pulumi.local.yaml, '
            "scoring:registry"
        ),
    ),
    (
        "deployments/blue",
        None,
        (
            "scoring:deployments.blue = nothing: this is a section; write its fields below it, as "
            "in Pulumi.local.yaml, "
            "scoring:deployments"
        ),
    ),
    (
        "tags/a?b",
        "x",
        'scoring:tags.a?b = "a?b": a tag\'s name takes up to 512 characters, none of <>%&\\?/; for instance owner',
    ),
    # kinds of endpoints, and who sets the count
    (
        "endpoint",
        {"kind": "kubernetes"},
        'scoring:endpoint.compute = "": which one? write the name of a compute that is attached to the workspace',
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "compute": "aks"},
        (
            'scoring:endpoint.compute = "aks": the workspace is new and has none; name the cluster to attach '
            "by endpoint.cluster.id"
        ),
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "compute": "aks", "cluster": {"id": "my-cluster"}},
        (
            'scoring:endpoint.cluster.id = "my-cluster": a cluster\'s ARM id takes '
            "/subscriptions/…/Microsoft.ContainerService/managedClusters/NAME, or …Kubernetes/connectedClusters/NAME; "
            "for instance what `az aks show --name NAME --resource-group GROUP --query id` prints"
        ),
    ),
    (
        "endpoint",
        {"compute": "aks"},
        (
            'scoring:endpoint.compute = "aks": a managed endpoint has no cluster; write endpoint.kind: kubernetes, '
            "or take it out"
        ),
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "auth": "aad-token"},
        'scoring:endpoint.auth = "aad-token": Entra tokens are for managed endpoints; write key or aml-token',
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "mirrorFirst": 10},
        "scoring:endpoint.mirrorFirst = 10: Azure mirrors on managed endpoints only; take it out",
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "mirror": {"blue": 10}},
        "scoring:endpoint.mirror = {…}: Azure mirrors on managed endpoints only; take it out",
    ),
    (
        "endpoint",
        {"kind": "kubernetes", "publicNetworkAccess": False},
        ("scoring:endpoint.publicNetworkAccess = false: the cluster's own network decides who reaches it; take it out"),
    ),
    (
        "endpoint/diagnostics",
        {"logs": ["audit"]},
        'scoring:endpoint.diagnostics.logs.0 = "audit": one of console, traffic, events',
    ),
    (
        "deployments/blue/resources",
        {"limits": {"memory": "2Gi"}},
        (
            "scoring:deployments.blue.resources = {…}: a managed deployment has its whole machine; "
            "choose that by instanceType"
        ),
    ),
    (
        "deployments/blue/resources",
        {"limits": {"memory": "2 gigabytes"}},
        (
            'scoring:deployments.blue.resources.limits.memory = "2 gigabytes": an amount of memory takes '
            "a number with Ki, Mi, Gi, Ti or k, M, G, T; for instance 2Gi"
        ),
    ),
    (
        "deployments/blue/scale",
        {"maxInstances": 3},
        (
            "scoring:deployments.blue.scale = {…}: the cluster's scaling is for endpoint.kind kubernetes; "
            "write autoscale"
        ),
    ),
    (
        "deployments/blue/scale",
        {"maxInstances": 3, "targetUtilizationPercentage": 0},
        "scoring:deployments.blue.scale.targetUtilizationPercentage = 0: write greater than or equal to 1",
    ),
    (
        "deployments/blue/autoscale",
        {"min": 3, "max": 2},
        "scoring:deployments.blue.autoscale.min = 3: it is more than max, 2; write less",
    ),
    (
        "deployments/blue/autoscale",
        {"min": 0, "max": 2},
        "scoring:deployments.blue.autoscale.min = 0: write greater than or equal to 1",
    ),
    (
        "deployments/blue/autoscale",
        {"min": 1, "max": 51},
        "scoring:deployments.blue.autoscale.max = 51: Azure takes 50; share over two deployments",
    ),
    (
        "deployments/blue/autoscale",
        {"min": 2, "max": 3, "default": 5},
        "scoring:deployments.blue.autoscale.default = 5: it lies outside min and max; write 2 to 3",
    ),
    (
        "deployments/blue/autoscale",
        {"min": 1, "max": 2, "rules": [{"metric": "RequestsPerMinute", "above": 9, "below": 1, "change": 1}]},
        ("scoring:deployments.blue.autoscale.rules.0.above = 9.0: when does it change? write either above or below"),
    ),
    (
        "deployments/blue/autoscale",
        {"min": 1, "max": 2, "rules": [{"metric": "RequestsPerMinute", "above": 9, "change": 0}]},
        "scoring:deployments.blue.autoscale.rules.0.change = 0: it changes nothing; write 1, or -1 for one less",
    ),
    (
        "deployments/blue/autoscale",
        {
            "min": 1,
            "max": 2,
            "rules": [{"metric": "RequestsPerMinute", "above": 9, "change": 1, "window": "PT1M"}],
        },
        ('scoring:deployments.blue.autoscale.rules.0.window = "PT1M": Azure takes 300 seconds to 12 hours; write PT5M'),
    ),
    (
        "deployments/blue",
        {"instanceType": "Standard_DS3_v2", "instanceCount": 2, "autoscale": {"min": 1, "max": 2}},
        "scoring:deployments.blue.instanceCount = 2: autoscale says how many; take out one of them",
    ),
    (
        "deployments/blue/instanceCount",
        51,
        "scoring:deployments.blue.instanceCount = 51: Azure takes 50; share over two deployments",
    ),
    (
        "deployments/blue/dataCollector",
        {"collections": {"request": {"samplingRate": 2}}},
        ("scoring:deployments.blue.dataCollector.collections.request.samplingRate = 2: write less than or equal to 1"),
    ),
    (
        "deployments/blue/dataCollector",
        {"collections": {"model_inputs": {}}, "captureHeaders": ["x-trace"]},
        (
            'scoring:deployments.blue.dataCollector.captureHeaders = "x-trace": headers are stored with payloads; '
            "add the collection request or response"
        ),
    ),
    (
        "deployments/blue/dataCollector",
        {"collections": {"request": {}}, "rollingRate": "weekly"},
        ('scoring:deployments.blue.dataCollector.rollingRate = "weekly": one of minute, hour, day, month, year'),
    ),
    ("endpoint/trafficSteps", 50, "scoring:endpoint.trafficSteps = 50: write a list, such as [10, 50, 100]"),
    (
        "endpoint/smokeTest",
        "ping",
        (
            'scoring:endpoint.smokeTest = "ping": this is a section; write its fields below it, as in '
            "Pulumi.local.yaml, scoring:endpoint"
        ),
    ),
    (
        "deployments/blue/environmentVariables",
        {"THREADS": 4},
        (
            "scoring:deployments.blue.environmentVariables.THREADS = 4: "
            "write a text, in quotes where it looks like a number"
        ),
    ),
    (
        "image/buildArguments",
        ["A=1"],
        (
            "scoring:image.buildArguments = […]: this is a section; write its fields below it, as in "
            "Pulumi.local.yaml, scoring:image"
        ),
    ),
    ("image/context", "", 'scoring:image.context = "": write at least one character, or take it out'),
    ("image/target", "", 'scoring:image.target = "": write at least one character, or take it out'),
    ("location", ["westeurope"], "scoring:location = […]: write a text, in quotes where it looks like a number"),
    ("nameSeed", 42, "scoring:nameSeed = 42: write a text, in quotes where it looks like a number"),
    # mixtures, and files
    (
        "registry/id",
        "@",
        'scoring:registry.name = "sharedacr2": registry.id names a registry that exists; take out one',
    ),
    (
        "endpoint/traffic",
        {"green": 100},
        "scoring:endpoint.traffic.green = 100: no such deployment; one of blue",
    ),
    (
        "endpoint/traffic",
        {"blue": 90},
        'scoring:endpoint.traffic = "90 percent together": Azure takes 100; correct the shares',
    ),
    (
        "endpoint/identity",
        "theirs",
        (
            'scoring:endpoint.identity = "theirs": a managed identity\'s ARM id takes /subscriptions/…/providers/'
            "Microsoft.ManagedIdentity/userAssignedIdentities/NAME; for instance what `az identity show --name NAME "
            "--resource-group GROUP --query id` prints"
        ),
    ),
    (
        "image/reference",
        REFERENCE,
        'scoring:image.context = "app": image.reference names an image that is built; take out one of them',
    ),
    (
        "image/dockerfile",
        "Dockerfile.gone",
        (
            'scoring:image.dockerfile = "Dockerfile.gone": no such file in {root}/app; write one there, '
            "or correct image.context or image.dockerfile"
        ),
    ),
    (
        "image/context",
        "nowhere",
        (
            'scoring:image.context = "{root}/nowhere": the folder does not exist; name the folder '
            "that holds the Dockerfile"
        ),
    ),
    (
        "environment",
        {"base": "python 3", "condaFile": "conda.yml"},
        (
            'scoring:environment.base = "python 3": a base image takes host/repository:tag or '
            "host/repository@sha256:…; for instance mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1"
        ),
    ),
    (
        "environment",
        {"base": "a.io/b:1", "requirementsFile": "r.txt", "python": "3"},
        'scoring:environment.python = "3": a Python version takes its numbers, in quotes; for instance "3.11"',
    ),
    (
        "environment",
        {"base": "a.io/b:1", "condaFile": "conda.yml"},
        'scoring:environment.base = "a.io/b:1": image says already what runs; take out one of them',
    ),
    ("model", {"path": "gone"}, 'scoring:model.path = "{root}/gone": no such folder or file; name the model\'s'),
    ("model", {}, 'scoring:model.path = "": name a folder or file, or a registered version by reference'),
    (
        "model",
        {"reference": "iris:3"},
        (
            'scoring:model.reference = "iris:3": a registered model takes azureml:NAME:NUMBER, azureml:NAME@latest, '
            "azureml://registries/REGISTRY/models/NAME/versions/N, or an ARM id; for instance azureml:iris:3"
        ),
    ),
    (
        "model",
        {"reference": "azureml:iris:3", "name": "other"},
        'scoring:model.name = "other": reference names a version that is registered; take out one of them',
    ),
    ("model", {"path": "app", "type": "onnx"}, 'scoring:model.type = "onnx": one of custom, mlflow, triton'),
    (
        "model",
        {"path": "app", "type": "mlflow"},
        (
            'scoring:model.type = "mlflow": Azure serves it without code in an image of its own only; '
            "name code, take out image, or write type: custom"
        ),
    ),
    (
        "model",
        {"path": "app", "mountPath": "models"},
        (
            'scoring:model.mountPath = "models": a mount path takes an absolute path in the container, without ..; '
            "for instance /var/models"
        ),
    ),
    (
        "deployments/blue/model",
        {"path": "app", "name": "my model"},
        (
            "scoring:deployments.blue.model.name = \"my model\": a model's or code's name takes "
            "up to 255 letters, digits, - and _; for instance iris"
        ),
    ),
    ("code", {"path": "app"}, "scoring:code.entryScript is missing: write it; see Pulumi.local.yaml, scoring:code"),
    (
        "code",
        {"path": "app", "entryScript": "score"},
        (
            "scoring:code.entryScript = \"score\": an entry script takes a file's path seen from the code's "
            "folder; for instance score.py"
        ),
    ),
    (
        "deployments/blue/code",
        {"path": "app", "entryScript": "main.py"},
        (
            'scoring:deployments.blue.code.entryScript = "main.py": no such file in {root}/app; '
            "write its path seen from there"
        ),
    ),
    (
        "principal/passwords",
        {"a": {}, "b": {}},
        'scoring:principal.current = "": which password is in use? one of a, b',
    ),
    (
        "principal/passwords",
        {"a": {"expires": "2020-01-01T00:00:00Z"}},
        (
            'scoring:principal.passwords.a.expires = "2020-01-01T00:00:00Z": it is over; add another '
            "password and make it principal.current"
        ),
    ),
    (
        "principal/current",
        "second",
        'scoring:principal.current = "second": no such password in principal.passwords (none is listed)',
    ),
    (
        "registry/roleAssignmentMode",
        "abac",
        (
            'scoring:registry.roleAssignmentMode = "abac": only an existing registry can be in it; name that '
            "by registry.id, or take this out"
        ),
    ),
    (
        "registry/address",
        "ghcr.io",
        'scoring:registry.address = "ghcr.io": mode standalone takes none; write registry.mode: private',
    ),
    (
        "registry/mode",
        "public",
        'scoring:image.context = "app": a public registry is only read; name the image by image.reference',
    ),
    ("registry/mode", "private", 'scoring:registry.address = "": which registry? write its host, such as ghcr.io'),
    (
        "registry/password",
        "hunter2",
        'scoring:registry.password = "[hidden]": mode standalone takes none; write registry.mode: private',
    ),
    (
        "network/isolation",
        "internet-outbond",
        'scoring:network.isolation = "internet-outbond": one of none, internet-outbound, approved-outbound',
    ),
    (
        "network/allowedRanges",
        ["10.0.0.0/8"],
        (
            'scoring:network.allowedRanges.0 = "10.0.0.0/8": rules know addresses of the internet only; private ones '
            "come in by network.privateEndpoints"
        ),
    ),
    ("endpoint/mirror", {"green": 10}, "scoring:endpoint.mirror.green = 10: no such deployment; one of blue"),
    ("deployments", {}, "scoring:deployments = {}: an endpoint without one answers nothing; describe at least one"),
    (
        "deployments/green",
        {"instanceType": "Standard_DS3_v2"},
        "scoring:endpoint.traffic = {}: say how blue, green share 100 percent",
    ),
    (
        "workspace/resourceGroupExists",
        True,
        "scoring:workspace.resourceGroupExists = true: which one? write workspace.resourceGroup too",
    ),
    (
        "image/context",
        REMOVED,
        'scoring:image.context = "": name the folder to build from, or an existing image by image.reference',
    ),
    (
        "image/dockerfile",
        "../Dockerfile",
        (
            'scoring:image.dockerfile = "../Dockerfile": it must lie inside the context; write its path seen '
            "from there, for instance Dockerfile"
        ),
    ),
]


@pytest.mark.parametrize(("path", "value", "line"), BAD, ids=[f"{path}-{n}" for n, (path, _, _) in enumerate(BAD)])
def test_a_bad_config_is_one_line_with_field_value_and_remedy(path: str, value: object, line: str, root: Path) -> None:
    given = changed(path, value)
    if value == "@":
        given["registry"] |= {"id": ACR, "name": "sharedacr2"}
    told = _told(given, root)
    assert line.replace("{root}", str(root)) in told
    # The repository's own field is shown as a full path; what goes with the one finding may only be a mixture of it.
    assert all("\n" not in text and text.startswith("scoring:") for text in told)


def test_every_field_of_a_stack_has_a_bad_config() -> None:
    assert {field.alias for field in StackSettings.model_fields.values()} <= {
        path.partition("/")[0] for path, _, _ in BAD
    }


def test_several_errors_are_several_lines(root: Path) -> None:
    given = changed("registry/modus", "x")
    given["endpoint"] = {"auth": "basic"}
    given["deployments"]["blue"]["instanceCount"] = -1
    assert [text.partition(" = ")[0] for text in _told(given, root)] == [
        "scoring:registry.modus",
        "scoring:endpoint.auth",
        "scoring:deployments.blue.instanceCount",
    ]


def test_the_context_is_seen_from_the_projects_root(root: Path) -> None:
    assert plan_file(usual(), root)[0].wire()["image"]["context"] == str(root / "app")


def test_the_model_is_frozen_and_closed() -> None:
    config = StackSettings.model_validate(usual())
    with pytest.raises(ValueError, match="frozen"):
        config.registry.mode = "public"


def test_config_cannot_be_changed_by_reading_it() -> None:
    given = usual()
    before = copy.deepcopy(given)
    parse(given)
    assert given == before


@pytest.mark.parametrize("stack", sorted(path.name for path in ROOT.glob("Pulumi.*.yaml")))
def test_every_stack_file_of_the_project_is_good(stack: str) -> None:
    text = yaml.safe_load((ROOT / stack).read_text())["config"]
    given = {key.removeprefix("scoring:"): value for key, value in text.items() if key.startswith("scoring:")}
    assert plan_file(given, ROOT)


def test_config_is_read_as_pulumi_hands_it_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = {f"scoring:{name}": value if name == "location" else json.dumps(value) for name, value in usual().items()}
    handed |= {"azure-native:location": "elsewhere", "scoring:nameSeed": "42"}
    monkeypatch.setattr(pulumi.runtime, "get_config_env", lambda: handed)
    settings = load(root)
    assert settings.name_seed == "42"
    assert settings.location == "westeurope"
    assert settings.wire()["image"]["repository"] == "scoring/app"


def test_a_build_secret_is_taken_sealed_and_refused_in_plain_text(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = changed("image/buildSecrets", {"TOKEN": "hunter2"})
    handed = {f"scoring:{name}": value if name == "location" else json.dumps(value) for name, value in given.items()}
    sealed = {"scoring:image"}
    monkeypatch.setattr(pulumi.runtime, "get_config_env", lambda: handed)
    monkeypatch.setattr(pulumi.runtime, "is_config_secret", sealed.__contains__)
    settings = load(root)
    assert settings.wire()["image"]["buildSecrets"]["TOKEN"].get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)
    sealed.clear()
    with pytest.raises(SettingsError) as told:
        load(root)
    assert str(told.value) == (
        'scoring:image.buildSecrets.TOKEN = "[hidden]": it is in plain text; change it where it came from, then '
        "`pulumi config set --secret --path scoring:image.buildSecrets.TOKEN`"
    )


def _told(given: dict[str, Any], root: Path) -> list[str]:
    with pytest.raises(SettingsError) as told:
        plan_file(given, root)
    return str(told.value).splitlines()
