"""A deployment on Kubernetes of a running local Azure: real containers, as many as the load asks for."""

from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Cloud
from tests.scoring import Endpoint, stage, until


def test_a_cluster_starts_a_container_for_waiting_requests_and_takes_it_away_again(azure: Cloud) -> None:
    place = {"location": "westeurope"}
    with stage(azure) as scene, ThreadPoolExecutor() as pool:
        group = scene.workspace.partition("/providers/")[0]
        cluster = f"{group}/providers/Microsoft.ContainerService/managedClusters/aks01"
        pools = {"dnsPrefix": "aks01", "agentPoolProfiles": [{"name": "one", "mode": "System"}]}
        azure.put(cluster, {**place, "identity": {"type": "SystemAssigned"}, "properties": pools})
        extension = {"properties": {"extensionType": "Microsoft.AzureML.Kubernetes"}}
        azure.put(f"{cluster}/providers/Microsoft.KubernetesConfiguration/extensions/azureml", extension)
        compute = f"{scene.workspace}/computes/aks"
        azure.put(compute, {**place, "properties": {"computeType": "Kubernetes", "resourceId": cluster}})
        ways = {"authMode": "Key", "compute": compute}
        body = {**place, "kind": "Kubernetes", "properties": ways}
        path = f"{scene.workspace}/onlineEndpoints/scaled"
        endpoint = Endpoint(scene, path, azure.put(path, body)["properties"]["scoringUri"])
        scale = {"scaleType": "TargetUtilization", "maxInstances": 2, "targetUtilizationPercentage": 100}
        told = endpoint.deploy(
            endpointComputeType="Kubernetes",
            instanceType=None,
            scaleSettings=scale,
            requestSettings={"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT60S"},
            containerResourceRequirements={"containerResourceLimits": {"cpu": "500m", "memory": "128Mi"}},
        )
        assert told["status"] == "Succeeded", told
        azure.put(path, {**body, "properties": {**ways, "traffic": {"blue": 100}}})
        assert len(scene.containers) == 1
        key = endpoint.keys["primaryKey"]
        waiting = [pool.submit(endpoint.score, {"sleep": 15}, key) for _ in range(2)]
        until(lambda: len(scene.containers) == 2, "a second container")
        assert [each.result().status_code for each in waiting] == [200, 200]
        until(lambda: len(scene.containers) == 1, "the second container to go")
        assert endpoint.score(key=key).status_code == 200
        azure.finish(azure.ask("DELETE", path))
