"""Train the model that the image carries.

Owns the choice of data, model and split. Refuses to own serving (score.py) and versions (requirements.txt).

The data is the wine set that scikit-learn ships: 178 wines, 13 chemical measures, 3 growers. Nothing is downloaded and
nothing is drawn at random without a seed, so the same versions give the same model.

    python train.py                       # writes model/model.joblib beside this file
    python train.py --output other.joblib
"""

import argparse
import json
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20240229
HELD_OUT = 0.25
MODEL = Path(__file__).resolve().parent / "model" / "model.joblib"


def train() -> tuple[dict[str, Any], float]:
    """Return what score.py loads, and the accuracy on wines that the model has not seen."""
    wine = load_wine()
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        wine.data, wine.target, test_size=HELD_OUT, random_state=SEED, stratify=wine.target
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=SEED))
    pipeline.fit(seen, seen_labels)
    artefact = {
        "pipeline": pipeline,
        "classes": [str(name) for name in wine.target_names],
        "features": [str(name) for name in wine.feature_names],
        "sklearn": sklearn.__version__,
    }
    return artefact, float(pipeline.score(unseen, unseen_labels))


def main() -> None:
    """Train, write the model, print one line of JSON about it."""
    parser = argparse.ArgumentParser(description="Train the wine model.")
    parser.add_argument("--output", type=Path, default=MODEL, help="where the model goes")
    output: Path = parser.parse_args().output
    artefact, accuracy = train()
    output.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(artefact, output, compress=3)
    print(json.dumps({"model": str(output), "bytes": output.stat().st_size, "held_out_accuracy": round(accuracy, 4)}))


if __name__ == "__main__":
    main()
