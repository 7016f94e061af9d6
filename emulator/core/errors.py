"""The one error that every service raises and every face renders.

https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""


class AzureError(Exception):
    """A refusal as Azure words it: an HTTP status, a code and one line of text."""

    def __init__(self, status: int, code: str, message: str, inner: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner

    @property
    def body(self) -> dict[str, object]:
        """The error as ARM sends it."""
        inner = {"innererror": {"code": self.inner}} if self.inner else {}
        return {"error": {"code": self.code, "message": self.message, **inner}}
