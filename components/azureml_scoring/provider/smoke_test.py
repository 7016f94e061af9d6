"""Requests to a deployment by name, past the traffic split, before it serves.

Owns how a deployment is asked, and when it has failed. Refuses to own which ones are asked, and when.

https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints#test-the-new-deployment
"""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.rest import HttpResponse

from azureml_scoring.provider.arm import ML_API, clean
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context
from azureml_scoring.provider.outside import OutsideError, refuse_outside
from azureml_scoring.provider.registry_client import is_local
from azureml_scoring.provider.reply import problem
from azureml_scoring.settings.arguments import EndpointTrafficArgs

ATTEMPTS = 5
"""Requests to a deployment before it counts as unable to answer."""
RETRY_SECONDS = 1.0
"""Seconds before the second attempt; doubled for each further one."""
SUCCESS = range(200, 300)
"""HTTP statuses of a deployment that answers."""
_REASON = 300
"""Bytes of a reply that say why a request failed."""


class SmokeTest:
    """Tests deployments with the smoke test and the checks of an `EndpointTraffic`."""

    def __init__(self, context: Context, document: dict[str, Any], inputs: EndpointTrafficArgs) -> None:
        self._context = context
        self._endpoint = document
        self._inputs = inputs

    def run(self, deployments: Iterable[str]) -> None:
        """Send the smoke test to each; raise for the first that does not answer with 2xx. Without one send nothing."""
        body = self._inputs.probe
        for name in deployments if body is not None else ():
            self._answer(name, body, "pass the smoke test", "endpoint.smokeTest")
            self._context.log(f"deployment {name} passes the smoke test")

    def check(self, name: str, *, is_new: bool) -> None:
        """Send the requests of all checks; raise where one is not answered with 2xx, or by a new version wrongly."""
        requests = []
        for each in self._inputs.checks:
            request = Path(each.request).name
            response = self._answer(name, _read(each.request), f"answer {request}", "rollout.checks")
            reply = response.content.decode("utf-8", "replace")
            if is_new and (wrong := problem(_read(each.reply), reply, self._inputs.tolerance)):
                msg = f"deployment {name} answers {request} {wrong}"
                raise ResourceError(msg)
            requests.append(request)
        if requests:
            self._context.log(check_line(name, requests, is_new=is_new))

    def _answer(self, name: str, body: object, what: str, field: str) -> HttpResponse:
        """Ask until there is an answer with 2xx; `what` the deployment should do, `field` what says so."""
        arm = self._context.arm
        # What keeps us from asking at all is no fault of the deployment's, and not tried again here.
        _ = self._url, self._key
        failure = "no answer"
        for attempt in range(ATTEMPTS):
            if attempt:
                arm.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
            try:
                response = self._send(name, body)
            except OutsideError:
                raise
            except ResourceError as error:
                failure = str(error)
                continue
            if response.status_code in SUCCESS:
                return response
            failure = f"HTTP {response.status_code} {clean(response.content[:_REASON].decode('utf-8', 'replace'))}"
        msg = f"deployment {name} did not {what} in {ATTEMPTS} attempts: {failure}; see its log, or correct {field}"
        raise ResourceError(msg)

    def _send(self, name: str, body: object) -> HttpResponse:
        """Send one request to one deployment, signed in as clients do."""
        headers = {"Authorization": f"Bearer {self._key}", "azureml-model-deployment": name}
        response = self._context.arm.http.try_once("POST", self._url, headers=headers, body=body)
        text = response.content[:_REASON].decode("utf-8", "replace")
        refuse_outside(f"endpoint {last(str(self._endpoint['id']))}", response.status_code, text)
        return response

    @cached_property
    def _url(self) -> str:
        url = str((self._endpoint.get("properties") or {}).get("scoringUri") or "")
        if urlsplit(url).scheme != "https" and not is_local(urlsplit(url).netloc):
            msg = f"scoring URI {url or '(none)'} is not https; the key is not sent there"
            raise ResourceError(msg)
        return url

    @cached_property
    def _key(self) -> str:
        """The key or token that clients use."""
        mode = str((self._endpoint.get("properties") or {}).get("authMode") or "Key").lower()
        arm, path = self._context.arm, str(self._endpoint.get("id") or "")
        if mode == "aadtoken":
            return arm.token("https://ml.azure.com/.default")
        action, field = ("token", "accessToken") if mode == "amltoken" else ("listKeys", "primaryKey")
        value = arm.post(f"{path}/{action}", ML_API).get(field)
        if not isinstance(value, str):
            msg = f"endpoint {last(path)} gave no {field}; give the deployer AzureML Data Scientist on the workspace"
            raise ResourceError(msg)
        return value


def check_line(deployment: str, requests: Iterable[str], *, is_new: bool) -> str:
    """Say that a deployment has answered the requests of the checks."""
    return f"deployment {deployment} answers {', '.join(requests)} {'as expected' if is_new else 'well'}"


def is_check_line(line: str) -> bool:
    """Tell a line that ends with `check_line`."""
    return re.search(r"deployment \S+ answers .+ (as expected|well)$", line) is not None


def _read(file: str) -> object:
    """Read a request or a reply; the program has looked at the file already."""
    try:
        document: object = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {' '.join(str(error).split())}"
        raise ResourceError(msg) from None
    return document
