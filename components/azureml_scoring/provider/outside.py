"""Answers by which a part that is closed to the internet turns a caller away, told from missing rights.

https://learn.microsoft.com/azure/container-registry/container-registry-troubleshoot-access (DENIED)
https://learn.microsoft.com/azure/key-vault/general/rest-error-codes#http-403-insufficient-permissions (ForbiddenBy…)
https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes (AuthorizationFailure)
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-secure-connection-workspace
"""

import re
from http import HTTPStatus
from typing import Final

from azureml_scoring.provider.errors import ResourceError

_CLOSED: Final = re.compile(
    "(?i)is not allowed access|public network access|client address is not authorized|authorizationfailure"
)


class OutsideError(ResourceError):
    """This machine is outside the network whose clients alone are let in."""


def refuse_outside(name: str, status: int, text: str) -> None:
    """Raise where an answer says that its caller is in the wrong network."""
    if status == HTTPStatus.FORBIDDEN and _CLOSED.search(text):
        msg = (
            f"{name} does not let this machine in, which is outside its network; run inside, or add the machine's "
            "address to network.allowedRanges where public access is on"
        )
        raise OutsideError(msg)
