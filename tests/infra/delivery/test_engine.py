from infra.delivery.engine import config_of, news, why

FAILED = """Updating (dev):
 ~  azureml-scoring:index:EndpointTraffic scoring-traffic **updating failed** error: endpoint scoring: the shift to gr…
    pulumi:pulumi:Stack azureml-scoring-dev **failed** 1 error
Diagnostics:
  pulumi:pulumi:Stack (azureml-scoring-dev):
    error: update failed
  azureml-scoring:index:EndpointTraffic (scoring-traffic):
    error: endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green answers nothing

Resources:
    24 unchanged
"""


PROGRESS = """Updating (dev):
@ updating....
 +  azureml-scoring:index:OnlineDeployment scoring-green creating (0s)
 ~  azureml-scoring:index:ImageBuild scoring-build updating (0s) [diff: ~contentKey]; run ca2 builds served:55b4
 ~  azureml-scoring:index:ImageBuild scoring-build updating (1s) [diff: ~contentKey]; run ca2 builds served:55b4
 ~  azureml-scoring:index:ImageBuild scoring-build updated (1s) [diff: ~contentKey]; run ca2 builds served:55b4
 ++ azureml-scoring:index:EnvironmentVersion scoring-blue-environment created replacement (0.02s)
 +  azureml-scoring:index:OnlineDeployment scoring-green created (1s)
Outputs:
  ~ deployments: ["green"]
"""


def test_progress_is_what_is_new_of_each_resource() -> None:
    said: dict[str, str] = {}
    assert [shown for line in PROGRESS.splitlines() if (shown := news(line, said))] == [
        "scoring-build: run ca2 builds served:55b4",
        "scoring-build: ImageBuild updated",
        "scoring-green: OnlineDeployment created",
    ]


def test_an_update_is_said_to_have_failed_for_its_telling_reason() -> None:
    assert why(FAILED) == (
        "endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green answers nothing"
    )


def test_a_run_that_says_no_more_than_that_it_failed_is_quoted() -> None:
    assert why("error: no stack named 'dev' found\n") == "no stack named 'dev' found"
    assert why("Diagnostics:\n    error: update failed\n") == "update failed"
    assert why("killed\n") == "killed"
    assert why("") == "it said nothing"


def test_a_stack_files_secrets_stay_hidden() -> None:
    text = {
        "encryptionsalt": "v1:…",
        "config": {
            "scoring:location": "westeurope",
            "scoring:registry": {"mode": "private", "password": {"secure": "v1:abc"}},
            "azure-native:location": "elsewhere",
        },
    }
    assert config_of(text) == {"location": "westeurope", "registry": {"mode": "private", "password": "[hidden]"}}
