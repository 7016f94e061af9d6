"""Claims about the ARM client, over azure-core's real pipeline with a scripted transport."""

import pytest
from azure.core.exceptions import ServiceRequestError
from azureml_scoring.provider.arm import ML_API, Cloud, clean, find_cloud, find_credential
from azureml_scoring.provider.errors import CancelledError, ResourceError

from tests.provider.fake_azure import ENDPOINT, HOST, Answer, FakeAzure, Sent

METADATA = {
    "resourceManager": "https://localhost:8889/",
    "authentication": {
        "loginEndpoint": "https://localhost:8889",
        "audiences": ["https://x/", "https://localhost:8889"],
    },
    "microsoftGraphResourceId": "https://localhost:8889/graph/",
}


def body(**properties: object) -> dict[str, object]:
    return {"location": "westeurope", "properties": properties}


def test_what_is_missing_is_none() -> None:
    assert FakeAzure().arm().get(ENDPOINT, ML_API) is None


def test_a_put_follows_the_operation_to_its_end_and_tells_progress() -> None:
    azure = FakeAzure()
    progress: list[tuple[str, float]] = []
    document = azure.arm().put(ENDPOINT, ML_API, body(), lambda state, seconds: progress.append((state, seconds)))
    assert document["properties"]["provisioningState"] == "Succeeded"
    assert [state for state, _ in progress] == ["InProgress", "InProgress"]
    assert azure.slept == [1.0, 1.0, 1.0]


def test_a_failed_operation_is_one_line_with_code_message_and_request() -> None:
    azure = FakeAzure(failing={"scoring": ("QuotaExceeded", "no cores left\nin westeurope")})
    with pytest.raises(ResourceError) as caught:
        azure.arm().put(ENDPOINT, ML_API, body())
    assert str(caught.value) == f"QuotaExceeded: no cores left in westeurope (PUT {ENDPOINT})"


def test_an_operation_without_end_is_given_up_after_an_hour() -> None:
    azure = FakeAzure()
    azure.on("GET", "/operations/", lambda _: (200, {}, {"status": "InProgress"}))
    with pytest.raises(ResourceError, match="60 minutes"):
        azure.arm().put(ENDPOINT, ML_API, body())
    assert 3600 < azure.now < 3700


def test_a_state_without_an_operation_header_is_polled_too() -> None:
    azure = FakeAzure()
    states = ["Creating", "Creating", "Succeeded"]
    azure.on("PUT", ENDPOINT, lambda _: (201, {}, {"properties": {"provisioningState": "Creating"}}))
    azure.on("GET", ENDPOINT, lambda _: (200, {}, {"properties": {"provisioningState": states.pop(0)}}))
    assert azure.arm().put(ENDPOINT, ML_API, body())["properties"]["provisioningState"] == "Succeeded"


def test_a_change_waits_for_another_operation_that_is_under_way() -> None:
    azure = FakeAzure()
    refusals: list[Answer] = [
        (409, {}, {"error": {"code": "Conflict", "message": "Another operation is in progress."}})
    ] * 2
    succeed: Answer = (200, {}, {"properties": {}})
    azure.on("PUT", ENDPOINT, lambda _: refusals.pop() if refusals else succeed)
    azure.arm().put(ENDPOINT, ML_API, body())
    assert azure.count("PUT") == 3


def test_a_conflict_that_waiting_cannot_mend_is_told_at_once() -> None:
    azure = FakeAzure()
    azure.on("PUT", ENDPOINT, lambda _: (409, {}, {"error": {"code": "Conflict", "message": "the name is taken"}}))
    with pytest.raises(ResourceError, match="Conflict: the name is taken"):
        azure.arm().put(ENDPOINT, ML_API, body())
    assert azure.count("PUT") == 1


def test_the_token_is_not_carried_to_a_foreign_host() -> None:
    azure = FakeAzure()
    azure.on("PUT", ENDPOINT, lambda _: (202, {"Azure-AsyncOperation": "https://evil.test/steal"}, None))
    with pytest.raises(ResourceError, match=r"evil\.test"):
        azure.arm().put(ENDPOINT, ML_API, body())
    assert azure.count("GET", "evil") == 0


def test_deleting_what_is_gone_is_fine() -> None:
    assert FakeAzure().arm().delete(ENDPOINT, ML_API) is False


def test_a_server_error_is_tried_again() -> None:
    azure = FakeAzure()
    answers: list[Answer] = [(503, {}, None), (200, {}, {"properties": {}})]
    azure.on("GET", ENDPOINT, lambda _: answers.pop(0))
    assert azure.arm().get(ENDPOINT, ML_API) == {"properties": {}}


def test_an_azure_that_does_not_answer_is_one_clear_line() -> None:
    def refuse(_: Sent) -> Answer:
        raise ServiceRequestError("HTTPSConnectionPool(... /x?sig=secret): [Errno 111] Connection refused")

    azure = FakeAzure()
    azure.on("GET", ENDPOINT, refuse)
    with pytest.raises(ResourceError) as caught:
        azure.arm().get(ENDPOINT, ML_API)
    text = str(caught.value)
    assert "arm.test does not answer" in text
    assert "connection refused" in text
    assert "secret" not in text
    assert "\n" not in text


def test_errors_hide_signatures_and_tokens() -> None:
    text = clean("see https://x/y?sig=abc%3D&se=1 with Bearer eyJhbGciOiJSUzI1NiJ9.x.y and\n password=hunter2")
    assert "abc" not in text
    assert "eyJ" not in text
    assert "hunter2" not in text
    assert "\n" not in text


def test_details_of_an_error_are_told_once() -> None:
    azure = FakeAzure()
    error = {
        "code": "BadRequest",
        "message": "invalid",
        "details": [{"message": "sku is wrong"}, {"message": "invalid"}],
    }
    azure.on("GET", ENDPOINT, lambda _: (400, {}, {"error": error}))
    with pytest.raises(ResourceError, match=r"^BadRequest: invalid sku is wrong \(GET"):
        azure.arm().get(ENDPOINT, ML_API)


def test_public_azure_is_known_without_asking() -> None:
    azure = FakeAzure()
    assert find_cloud({}, azure) == Cloud()
    assert find_cloud({"ARM_METADATA_HOSTNAME": "management.azure.com"}, azure).public
    assert azure.sent == []


@pytest.mark.parametrize("shape", [METADATA, [METADATA]])
def test_another_cloud_is_learnt_from_its_metadata(shape: object) -> None:
    azure = FakeAzure()
    azure.on("GET", "https://localhost:8889/metadata/endpoints", lambda _: (200, {}, shape))
    cloud = find_cloud({"ARM_METADATA_HOSTNAME": "localhost:8889"}, azure)
    assert cloud.resource_manager == "https://localhost:8889"
    assert cloud.scope == "https://localhost:8889/.default"
    assert cloud.graph == "https://localhost:8889/graph"
    assert not cloud.public


def test_a_host_without_metadata_is_named() -> None:
    azure = FakeAzure()
    azure.on("GET", "metadata", lambda _: (404, {}, {}))
    with pytest.raises(ResourceError, match=r"ARM_METADATA_HOSTNAME = example\.test"):
        find_cloud({"ARM_METADATA_HOSTNAME": "example.test"}, azure)


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"ARM_CLIENT_SECRET": "x"}, "ClientSecretCredential"),
        ({"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN": "x"}, "ClientAssertionCredential"),
        ({"ARM_USE_MSI": "true"}, "ManagedIdentityCredential"),
        ({}, "AzureCliCredential"),
    ],
)
def test_the_environment_chooses_the_credential(environment: dict[str, str], kind: str) -> None:
    tenant = "00000000-0000-0000-0000-000000000000"
    credential = find_credential({"ARM_TENANT_ID": tenant, "ARM_CLIENT_ID": tenant, **environment}, Cloud())
    assert type(credential).__name__ == kind


def test_a_secret_without_a_client_is_refused_in_one_line() -> None:
    with pytest.raises(ResourceError, match="ARM_TENANT_ID is not set"):
        find_credential({"ARM_CLIENT_SECRET": "hush"}, Cloud(HOST))


def test_an_operation_by_location_ends_in_its_result() -> None:
    azure = FakeAzure()
    azure.on("POST", "/scheduleRun", lambda _: (202, {"Location": f"{HOST}/results/1", "Retry-After": "7"}, None))
    answers: list[Answer] = [(202, {"Retry-After": "9"}, None), (200, {}, {"name": "ca1"})]
    azure.on("GET", "/results/1", lambda _: answers.pop(0))
    assert azure.arm().post(f"{ENDPOINT}/scheduleRun", ML_API) == {"name": "ca1"}
    assert azure.slept == [7.0, 9.0]


def test_milliseconds_come_before_seconds_where_azure_tells_both() -> None:
    azure = FakeAzure()
    both = {"Location": f"{HOST}/results/1", "Retry-After": "7", "x-ms-retry-after-ms": "50"}
    azure.on("POST", "/scheduleRun", lambda _: (202, both, None))
    answers: list[Answer] = [(202, {"Retry-After": "9", "retry-after-ms": "soon"}, None), (200, {}, {"name": "ca1"})]
    azure.on("GET", "/results/1", lambda _: answers.pop(0))
    assert azure.arm().post(f"{ENDPOINT}/scheduleRun", ML_API) == {"name": "ca1"}
    assert azure.slept == [0.05, 9.0]


def test_a_put_by_location_ends_in_the_document_and_not_in_the_operations_result() -> None:
    azure = FakeAzure()
    document = {"properties": {"provisioningState": "Succeeded"}}
    azure.on("PUT", ENDPOINT, lambda _: (202, {"Location": f"{HOST}/results/1"}, None))
    azure.on("GET", "/results/1", lambda _: (200, {}, {"status": "Succeeded"}))
    azure.on("GET", ENDPOINT, lambda _: (200, {}, document))
    assert azure.arm().put(ENDPOINT, ML_API, body()) == document


def test_the_token_is_not_carried_to_a_foreign_host_that_a_later_poll_names() -> None:
    azure = FakeAzure()
    azure.on("POST", "/scheduleRun", lambda _: (202, {"Location": f"{HOST}/results/1"}, None))
    azure.on("GET", "/results/1", lambda _: (202, {"Location": "https://evil.test/steal"}, None))
    with pytest.raises(ResourceError, match=r"evil\.test, which is not https://arm\.test; not followed"):
        azure.arm().post(f"{ENDPOINT}/scheduleRun", ML_API)
    assert azure.count("GET", "evil") == 0


def test_a_cancelled_update_ends_the_polling() -> None:
    azure = FakeAzure()
    arm = azure.arm()

    def cancel(_: float) -> None:
        raise CancelledError("cancelled while Azure was still at work")

    arm.sleep = cancel
    with pytest.raises(CancelledError):
        arm.put(ENDPOINT, ML_API, body())
    assert azure.count("GET", "/operations/") == 0


def test_an_operation_without_a_status_is_one_line_that_repeats_no_answer() -> None:
    azure = FakeAzure()
    azure.on("GET", "/operations/", lambda _: (200, {}, {"password": "hunter2"}))
    with pytest.raises(ResourceError) as caught:
        azure.arm().put(ENDPOINT, ML_API, body())
    assert str(caught.value) == (
        f"InvalidResponse: the state of the operation cannot be read (BadResponse) (PUT {ENDPOINT})"
    )


def test_a_failed_state_repeats_nothing_of_the_document() -> None:
    azure = FakeAzure()
    failed = {"properties": {"provisioningState": "Failed", "environmentVariables": {"TOKEN": "hunter2"}}}
    azure.on("PUT", ENDPOINT, lambda _: (201, {}, failed))
    with pytest.raises(ResourceError) as caught:
        azure.arm().put(ENDPOINT, ML_API, body())
    assert str(caught.value) == f"Failed: Azure ended it as failed and gave no reason (PUT {ENDPOINT})"


def test_a_deletion_whose_operation_is_lost_is_only_done_when_the_resource_is_gone() -> None:
    azure = FakeAzure()
    azure.documents[ENDPOINT] = {"id": ENDPOINT, "properties": {}}
    azure.on("DELETE", ENDPOINT, lambda _: (202, {"Azure-AsyncOperation": f"{HOST}/lost?api-version=x"}, None))
    with pytest.raises(ResourceError, match="ResourceNotFound"):
        azure.arm().delete(ENDPOINT, ML_API)
    del azure.documents[ENDPOINT]
    assert azure.arm().delete(ENDPOINT, ML_API)


def test_a_list_is_read_with_all_its_pages() -> None:
    azure = FakeAzure()
    azure.on("GET", r"/subscriptions\?", lambda _: (200, {}, {"value": [{"a": 1}], "nextLink": f"{HOST}/more?page=2"}))
    azure.on("GET", "/more", lambda _: (200, {}, {"value": [{"a": 2}]}))
    assert list(azure.arm().list_all("/subscriptions", ML_API)) == [{"a": 1}, {"a": 2}]
