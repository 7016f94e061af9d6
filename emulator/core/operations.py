"""Long operations: work that goes on after Azure has answered, each in a thread of its own.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emulator.core.errors import AzureError

_log = logging.getLogger(__name__)


@dataclass
class Operation:
    """One long operation: `status` is InProgress, Succeeded or Failed; `ended` in seconds since 1970."""

    resource: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    error: AzureError | None = None
    ended: float | None = None
    result: dict[str, Any] | None = None
    """What the work answers, where that is not the resource."""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> dict[str, object]:
        """The operation as ARM's status URL shows it."""
        error = self.error.body if self.error else {}
        return {"id": self.id, "name": self.id, "status": self.status, **error}


class Operations:
    """The operations of this process. A restart forgets them; `Azure` then marks what they left half-made as failed."""

    def __init__(self) -> None:
        self._all: dict[str, Operation] = {}

    def start(self, resource: str, work: Callable[[], dict[str, Any] | None]) -> Operation:
        """Run `work` in a thread; what it raises becomes the operation's error, what it returns its result."""
        operation = Operation(resource)
        self._all[operation.id] = operation
        threading.Thread(target=self._run, args=(operation, work), name=f"operation {resource}", daemon=True).start()
        return operation

    def get(self, id_: str) -> Operation:
        """An operation by its id (404 where there is none)."""
        operation = self._all.get(id_)
        if operation is None:
            raise AzureError(404, "OperationNotFound", f"The operation '{id_}' is unknown (the local Azure restarted)")
        return operation

    def _run(self, operation: Operation, work: Callable[[], dict[str, Any] | None]) -> None:
        try:
            operation.result = work()
            operation.status = "Succeeded"
        except AzureError as error:
            operation.error, operation.status = error, "Failed"
        except Exception as error:  # noqa: BLE001 - no caller handles a thread's error: a fault here is Azure's 500
            _log.exception("operation on %s", operation.resource)
            operation.error = AzureError(500, "InternalServerError", f"{type(error).__name__}: {error}")
            operation.status = "Failed"
        finally:
            operation.ended = time.time()
            operation.done.set()
