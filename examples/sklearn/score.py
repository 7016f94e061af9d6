"""The entry script of azureml-inference-server-http: ``init`` once per worker, ``run`` once per request.

Owns loading the model, checking a request and shaping the reply. Refuses to own HTTP, ports and workers (the server
does) and training (train.py).
"""

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import joblib
import sklearn
from azureml_inference_server_http.api.aml_response import AMLResponse

MODEL_FILE = "model.joblib"
BAKED_MODEL = Path(__file__).resolve().parent / "model"
MAX_ROWS = 1000
# A reply is the same on every processor: its last bits depend on which BLAS kernel the machine picks.
DIGITS = 6

logger = logging.getLogger(__name__)
_model: dict[str, Any] = {}


class BadRequestError(ValueError):
    """A request that cannot be scored; its text is the one line that the caller reads."""


def find_model(folder: Path) -> Path:
    """Return the one model file in or below a folder: Azure ML mounts a registered model in folders of its own."""
    found = sorted(folder.rglob(MODEL_FILE))
    if len(found) != 1:
        message = f"AZUREML_MODEL_DIR: {folder} holds {len(found)} files named {MODEL_FILE}; exactly one is needed"
        raise FileNotFoundError(message)
    return found[0]


def init() -> None:
    """Load the model from AZUREML_MODEL_DIR when the deployment names one, else the model baked beside this file."""
    path = find_model(Path(os.environ.get("AZUREML_MODEL_DIR") or BAKED_MODEL))
    # joblib runs what a file says: a model comes from the image or from the workspace, never from a request.
    model = joblib.load(path)
    if model["sklearn"] != sklearn.__version__:
        found = f"trained with scikit-learn {model['sklearn']}, the image has {sklearn.__version__}"
        message = f"{path}: {found}; run train.py again"
        raise RuntimeError(message)
    _model.update(model)
    logger.info("model %s: %d features, %d classes", path, len(model["features"]), len(model["classes"]))


def parse(raw: str, features: int) -> list[list[float]]:
    """Return the rows of a request, or raise BadRequestError with the place that is wrong and what belongs there."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        message = f'body: not JSON ({type(error).__name__}); send {{"data": [[...]]}}'
        raise BadRequestError(message) from None
    if not isinstance(body, dict) or set(body) != {"data"}:
        raise BadRequestError('body: must be an object with the one field "data"')
    rows = body["data"]
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        message = f"data: must be a list of 1 to {MAX_ROWS} rows"
        raise BadRequestError(message)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != features:
            found = f"{len(row)} values" if isinstance(row, list) else type(row).__name__
            message = f"data[{number}]: must be a list of {features} numbers, got {found}"
            raise BadRequestError(message)
        for column, value in enumerate(row):
            # bool is an int to Python and json.loads knows NaN and Infinity: none of them measures a wine.
            if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
                message = f"data[{number}][{column}]: must be a finite number"
                raise BadRequestError(message)
    return [[float(value) for value in row] for row in rows]


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def run(raw_data: str) -> dict[str, Any] | AMLResponse:
    """Score the rows of ``{"data": [[...]]}``; answer 400 and one line when a request is wrong."""
    try:
        rows = parse(raw_data, len(_model["features"]))
    except BadRequestError as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    probabilities = _model["pipeline"].predict_proba(rows)
    classes = _model["classes"]
    return {
        "predictions": [classes[index] for index in probabilities.argmax(axis=1)],
        "probabilities": [
            {name: round(float(share), DIGITS) for name, share in zip(classes, row, strict=True)}
            for row in probabilities
        ],
    }
