"""A closed network is told from missing rights, and from outside one line says so."""

import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.outside import OutsideError, refuse_outside
from azureml_scoring.provider.smoke_test import SmokeTest
from azureml_scoring.settings.arguments import EndpointTrafficArgs

from tests.provider.fake_azure import ENDPOINT, FakeAzure

DOCUMENT = {"id": ENDPOINT, "properties": {"scoringUri": "https://scoring.test/score", "authMode": "Key"}}
TESTED = EndpointTrafficArgs(endpoint_id=ENDPOINT, traffic={"blue": 100}, probe={"data": [1]})


@pytest.mark.parametrize(
    "text",
    [
        "client with IP '203.0.113.9' is not allowed access, refer https://aka.ms/acr/firewall to grant access",
        "Public network access is disabled and request is not from a trusted service nor via an approved private link.",
        "Client address is not authorized and caller is not a trusted service.",
        "HTTP 403 AuthorizationFailure",
    ],
)
def test_an_answer_to_a_caller_in_the_wrong_network_is_one_line_with_what_to_do(text: str) -> None:
    with pytest.raises(OutsideError, match=r"^acr01 does not let this machine in"):
        refuse_outside("acr01", 403, text)


@pytest.mark.parametrize(
    ("status", "text"),
    [(403, "Caller is not authorized to perform action on resource."), (401, "Public network access is disabled")],
)
def test_missing_rights_are_not_taken_for_a_closed_network(status: int, text: str) -> None:
    refuse_outside("acr01", status, text)


def test_a_smoke_test_from_outside_ends_at_once_and_says_why() -> None:
    azure = FakeAzure()
    closed = {"error": {"code": "Forbidden", "message": "Public network access is disabled for endpoint 'scoring'."}}
    azure.on("POST", "/score", lambda _: (403, {}, closed))
    with pytest.raises(OutsideError, match="endpoint scoring does not let this machine in"):
        SmokeTest(azure.context(), DOCUMENT, TESTED).run(["blue"])
    assert azure.count("POST", "/score") == 1


def test_a_smoke_test_with_a_wrong_key_is_tried_again() -> None:
    azure = FakeAzure()
    azure.on("POST", "/score", lambda _: (403, {}, {"error": "not yours"}))
    with pytest.raises(ResourceError, match="did not pass the smoke test in 5 attempts: HTTP 403"):
        SmokeTest(azure.context(), DOCUMENT, TESTED).run(["blue"])
