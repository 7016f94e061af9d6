"""Values that Azure, Docker or HTTP refuse are refused before anything is made, each in one line."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from azureml_scoring.plan import assets
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.rules import RULES
from azureml_scoring.settings.stack_file import load

from tests.settings.test_mixtures import _FIELDS, _put
from tests.settings.values import value_of

BLUE = "deployments/blue"
MACHINE = {"instanceType": "Standard_DS3_v2"}
COLLECTED: dict[str, Any] = {"collections": {"request": {}}}
REFUSED: dict[str, tuple[str, object, str]] = {
    # dates and times
    "a day that the calendar lacks": (
        "principal/passwords",
        {"first": {"expires": "2027-02-30T00:00:00Z"}},
        'principal.passwords.first.expires = "2027-02-30T00:00:00Z": no calendar or clock has it',
    ),
    "an hour that the clock lacks": (
        "principal/passwords",
        {"first": {"expires": "2027-02-28T25:00:00Z"}},
        'principal.passwords.first.expires = "2027-02-28T25:00:00Z": no calendar or clock has it',
    ),
    "a probe without a pause": (
        f"{BLUE}/livenessProbe",
        {"period": "PT0S"},
        'deployments.blue.livenessProbe.period = "PT0S": it takes no time at all',
    ),
    "a request that may take no time": (
        f"{BLUE}/requestSettings",
        {"requestTimeout": "PT0H0M"},
        'deployments.blue.requestSettings.requestTimeout = "PT0H0M": it takes no time at all',
    ),
    "Arabic digits": (
        f"{BLUE}/livenessProbe",
        {"period": "PT٣S"},
        'deployments.blue.livenessProbe.period = "PT٣S": a duration takes ISO 8601',
    ),
    # names and tags
    "deployments that differ in case": (
        "deployments/Blue",
        MACHINE,
        "deployments = {…}: blue and Blue are one name for Azure",
    ),
    "tags that differ in case": (
        "tags",
        {"owner": "a", "OWNER": "b"},
        "tags = {…}: owner and OWNER are one name for Azure",
    ),
    "a tag of Azure's own": (
        "tags",
        {"Azure-Cost": "a"},
        'tags.Azure-Cost = "Azure-Cost": names that begin with microsoft',
    ),
    "a tag of Windows": ("tags", {"windows": "a"}, 'tags.windows = "windows": names that begin with microsoft'),
    "a tag that a storage account refuses": (
        "tags",
        {"a" * 129: "x"},
        f'tags.{"a" * 129} = "x": a storage account takes tag names of 128 characters at most',
    ),
    "a NUL in a tag": (
        "tags",
        {"owner": "a\0"},
        'tags.owner = "a\\x00": a tag\'s value takes up to 256 characters on one line',
    ),
    # hosts and ports
    "a port above the last": (
        "registry/loginServer",
        "acr.example.com:65536",
        'registry.loginServer = "acr.example.com:65536": a registry\'s address takes a host name',
    ),
    "port 0": ("registry/loginServer", "acr.example.com:0", 'registry.loginServer = "acr.example.com:0": a registry'),
    "an address above the last": (
        "registry/loginServer",
        "256.1.1.1",
        'registry.loginServer = "256.1.1.1": a registry',
    ),
    "a label of 64 characters": (
        "registry/loginServer",
        f"{'a' * 64}.io",
        f'registry.loginServer = "{"a" * 64}.io": a reg',
    ),
    "an empty label": (
        "image/reference",
        "a..io/app:1",
        'image.reference = "a..io/app:1": an image reference takes host',
    ),
    "a port of a container above the last": (
        f"{BLUE}/routes",
        {"port": 65536},
        "deployments.blue.routes.port = 65536: write",
    ),
    # builds
    "a stage that nobody has": (
        "image/target",
        "run",
        'image.target = "run": no stage of the Dockerfile is called so (base)',
    ),
    "a processor that nobody has": (
        "image/platform",
        "linux/vax",
        'image.platform = "linux/vax": Docker builds for no such',
    ),
    "a processor that ACR Tasks lacks": (
        "image/platform",
        "linux/s390x",
        'image.platform = "linux/s390x": ACR Tasks builds for amd64, 386, arm and arm64',
    ),
    # paths
    "a route upwards": (
        f"{BLUE}/routes",
        {"scoring": "/a/../b"},
        'deployments.blue.routes.scoring = "/a/../b": every server',
    ),
    "a route with an empty part": (
        f"{BLUE}/routes",
        {"scoring": "//b"},
        'deployments.blue.routes.scoring = "//b": every server',
    ),
    "half an escape": (f"{BLUE}/routes", {"scoring": "/a%2"}, 'deployments.blue.routes.scoring = "/a%2": % begins two'),
    "a mount over programs": (
        "model",
        {"path": "app", "mountPath": "/usr/bin"},
        'model.mountPath = "/usr/bin": the mount would hide the image\'s own system there',
    ),
    "a mount over the settings of the system": (
        "model",
        {"path": "app", "mountPath": "//etc/./ssl"},
        'model.mountPath = "//etc/./ssl": the mount would hide the image\'s own system there',
    ),
    "a mount over everything": (
        "model",
        {"path": "app", "mountPath": "/./"},
        'model.mountPath = "/./": the mount would hide all that the image has there',
    ),
    "the whole machine as a model": ("model", {"path": "//"}, 'model.path = "/": it holds every file of this machine'),
    "a NUL in a path": (
        "image/context",
        "app\0",
        r'image.context = "app\x00": it takes one line of visible characters',
    ),
    "a mark of direction in a path": ("image/context", "\u202eapp", r'image.context = "\u202eapp": it takes one line'),
    # headers
    "a header with a token": (
        f"{BLUE}/dataCollector",
        {**COLLECTED, "captureHeaders": ["AUTHORIZATION"]},
        'deployments.blue.dataCollector.captureHeaders.0 = "AUTHORIZATION": it carries credentials',
    ),
    "a header with a session": (
        f"{BLUE}/dataCollector",
        {**COLLECTED, "captureHeaders": ["cookie"]},
        'deployments.blue.dataCollector.captureHeaders.0 = "cookie": it carries credentials',
    ),
    "no header's name": (
        f"{BLUE}/dataCollector",
        {**COLLECTED, "captureHeaders": ["x trace"]},
        'deployments.blue.dataCollector.captureHeaders.0 = "x trace": a header\'s name takes letters',
    ),
    # traffic
    "steps downwards": (
        "endpoint/trafficSteps",
        [50, 10],
        "endpoint.trafficSteps = […]: each step sends more than the one",
    ),
    "a step twice": (
        "endpoint/trafficSteps",
        [10, 10],
        "endpoint.trafficSteps = […]: each step sends more than the one",
    ),
    "limits of nothing": (
        "endpoint/limits",
        {"errorPercent": 5},
        "endpoint.bakeSeconds = 0: endpoint.limits are measured while a step lasts",
    ),
    # numbers
    "an answer where a number is asked": (
        f"{BLUE}/instanceCount",
        True,
        "deployments.blue.instanceCount = true: write a number",
    ),
    "an answer in a list of numbers": (
        "endpoint/trafficSteps",
        [True],
        "endpoint.trafficSteps.0.percent = true: write a number",
    ),
    "an answer in a map of numbers": (
        "endpoint/traffic",
        {"blue": True},
        "endpoint.traffic.blue = true: write a number",
    ),
    "no number": ("endpoint/bakeSeconds", float("nan"), "endpoint.bakeSeconds = nan: write a finite number"),
    "a number without an end": (
        "endpoint/limits",
        {"latencyMilliseconds": float("inf")},
        "endpoint.limits.latencyMilliseconds = inf: write a finite number",
    ),
    "a number that no computer counts": (
        f"{BLUE}/instanceCount",
        10**5000,
        "deployments.blue.instanceCount = a number of more than 64 bits: ",
    ),
    # texts
    "a request that is no JSON": (
        "endpoint/smokeTest",
        {"data": [float("nan")]},
        "endpoint.smokeTest = {…}: it must be JSON",
    ),
    "half a character": ("nameSeed", "\ud800", r'nameSeed = "\ud800": '),
    "an end of line in a name": (
        f"{BLUE}\n",
        MACHINE,
        r'deployments.blue\n = "blue\n": a deployment takes 3 to 32 letters',
    ),
}
PRIVATE = {"mode": "private", "address": "ghcr.io", "username": "me", "password": "hunter2"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM debian:12 AS base\nFROM base\n")
    return tmp_path


def usual() -> dict[str, Any]:
    return {"location": "westeurope", "image": {"context": "app"}, "deployments": {"blue": MACHINE.copy()}}


def refusals(values: dict[str, Any], root: Path) -> list[str]:
    """The lines that refuse a stack file; none where it is accepted."""
    try:
        plan_file(values, root)
    except SettingsError as error:
        return str(error).split("\n")
    return []


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_that_names_field_and_value(case: str, root: Path) -> None:
    path, value, words = REFUSED[case]
    values = usual()
    _put(values, tuple(path.split("/")), value)
    (line,) = refusals(values, root)
    assert line.startswith(f"scoring:{words}")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("username", "me:you", '"me:you": a user name takes one line without a colon'),
        ("username", "me\n", r'"me\n": a user name takes one line without a colon'),
        ("password", "hunter2\n", '"[hidden]": it has an end of line'),
    ],
)
def test_a_sign_in_that_http_cannot_send_is_refused(field: str, value: str, words: str, root: Path) -> None:
    values = {**usual(), "registry": {**PRIVATE, field: value}, "image": {"reference": "ghcr.io/team/app:1"}}
    (line,) = refusals(values, root)
    assert line.startswith(f"scoring:registry.{field} = {words}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{BLUE}/readinessProbe", {"initialDelay": "PT0S", "period": "PT1M"}),
        (f"{BLUE}/routes", {"scoring": "/v1/a%20b/..c/score"}),
        (f"{BLUE}/model", {"path": "app", "mountPath": "/usr/local/models"}),
        (f"{BLUE}/model", {"path": "app", "mountPath": "/var/azureml-app/azureml-models"}),
        ("tags", {"hidden-link": "x", "my-azure": "x"}),
        ("image/target", "BASE"),
        ("image/platform", "linux/arm/v7"),
        ("registry/loginServer", "10.0.0.255:65535"),
        ("endpoint/trafficSteps", [1, 50, 100]),
        ("endpoint", {"limits": {"errorPercent": 5}, "bakeSeconds": 180}),
        (f"{BLUE}/dataCollector", {**COLLECTED, "captureHeaders": ["x-request-id"]}),
    ],
)
def test_what_looks_like_it_and_is_right_is_accepted(path: str, value: object, root: Path) -> None:
    values = usual()
    _put(values, tuple(path.split("/")), value)
    assert refusals(values, root) == []


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind not in {"resourceGroup", "tagValue", "tagName"}])
def test_digits_and_letters_are_those_of_ascii(kind: str) -> None:
    for text in (RULES[kind].example, "1234567890", "abc1", "PT1S", "/a1"):
        if RULES[kind].problem(text) is None and kind not in {"text", "lines", "line", "username"}:
            assert all(RULES[kind].problem(text.replace(digit, "٣")) for digit in text if digit.isdigit()), text


def test_no_number_takes_true_or_false(root: Path) -> None:
    """Of every field that has a number, taken from the declarations."""
    numbers = [path for path, field in _FIELDS if type(value_of(field)) in {int, float}]
    assert len(numbers) > 20
    for path in numbers:
        values = usual()
        _put(values, path, value=True)
        field = f"scoring:{'.'.join(map(str, path))} = true: write a "
        assert any(line.startswith(field) for line in refusals(values, root)), field


def test_a_name_of_any_length_keeps_its_line_short_and_the_field_in_it(root: Path) -> None:
    """Of every section that users name, taken from the declarations, with a section that lacks its fields."""
    named = [(*path, "n" * 70_000) for path, field in _FIELDS if "dict[" in str(field.annotation)]
    assert len(named) > 10
    for path in named:
        values = usual()
        _put(values, path, {})
        assert all(len(line) < 1_000 for line in refusals(values, root)), path[:-1]
    values = usual()
    _put(values, ("deployments", "blue", "autoscale", "schedules", "n" * 70_000), {})
    assert any("n.days is missing: write it" in line for line in refusals(values, root))


def test_a_file_that_cannot_be_read_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may go, or belong to another user, while the folder is read."""

    def gone(*_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory", "score.bin")

    monkeypatch.setattr(assets, "asset_key", gone)
    (line,) = refusals({**usual(), "model": {"path": "app"}}, root)
    assert line == (
        f'scoring:model.path = "{root}/app": score.bin cannot be read (No such file or directory); '
        "make it readable, or let it be ignored"
    )


def test_a_check_whose_file_is_missing_or_no_json_is_told_before_anything_is_made(root: Path) -> None:
    (root / "request.json").write_text("{")
    rollout = {"checks": [{"request": "request.json", "reply": "reply.json"}]}
    (line,) = refusals({**usual(), "rollout": rollout}, root)
    assert line.startswith(f'scoring:rollout.checks.0.request = "{root}/request.json": it is not JSON (')
    (root / "request.json").write_text("{}")
    (line,) = refusals({**usual(), "rollout": rollout}, root)
    assert line == (
        f'scoring:rollout.checks.0.reply = "{root}/reply.json": it cannot be read (No such file or directory); '
        "name a file of JSON"
    )


# -- sealed values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "image.buildArguments.TOKEN",
        "deployments.blue.environmentVariables.TOKEN",
        "endpoint.smokeTest.data.0",
        "tags.owner",
    ],
)
def test_a_sealed_value_is_refused_where_others_would_read_it(
    path: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {f"scoring:{key}": section for key, section in usual().items()}
    first, *rest = path.split(".")
    node: Any = config.setdefault(f"scoring:{first}", {})
    for part, following in zip(rest, [*rest[1:], None], strict=True):
        if following == "0":
            node[part] = [{"secure": "v1:x"}]
            break
        node = node.setdefault(part, {"secure": "v1:x"} if following is None else {})
    (line,) = _loaded(config, root, monkeypatch)
    assert line.startswith(f'scoring:{path} = "[hidden]": it is sealed, but ')


def test_a_sealed_secret_and_a_section_that_is_sealed_as_a_whole_are_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {f"scoring:{key}": section for key, section in usual().items()}
    config["scoring:image"] = {"context": "app", "buildSecrets": {"TOKEN": {"secure": "v1:x"}}}
    config["scoring:tags"] = {"secure": "v1:x"}
    assert _loaded(config, root, monkeypatch) == []


def _loaded(config: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that refuse a stack file with sealed values, as Pulumi hands it over: opened."""
    (root / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))
    opened = json.loads(json.dumps(config).replace('{"secure": "v1:x"}', '"hunter2"'))
    opened["scoring:tags"] = {} if opened.get("scoring:tags") == "hunter2" else opened.get("scoring:tags", {})
    handed = {key: each if isinstance(each, str) else json.dumps(each) for key, each in opened.items()}
    monkeypatch.setattr(pulumi.runtime, "get_config_env", lambda: handed)
    monkeypatch.setattr(pulumi.runtime, "is_config_secret", lambda _: True)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    try:
        load(root)
    except SettingsError as error:
        return str(error).split("\n")
    return []
