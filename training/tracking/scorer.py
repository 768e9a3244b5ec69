"""The model as MLflow loads it: this file is copied beside the bundle and run there ("models from code").

Nothing is pickled. The bundle is verified before it is believed, and scored by the code of the service; all
this file needs is MLflow and the base of Forecast. See docs/mlflow.md for the table it takes.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

__all__ = ["Scorer"]


class Scorer(PythonModel):  # type: ignore[misc]  # MLflow publishes no types
    """Scores a table of deals with the bundle among its artifacts."""

    def load_context(self, context: Any) -> None:
        """Verify and load the bundle; BundleError if it is damaged or of another version."""
        from forecast.bundle import load_bundle

        self.bundle = load_bundle(context.artifacts["bundle"])

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row of scores for each row; see `forecast.service.flat.score_table` for table and parameters."""
        from forecast.service.flat import score_table

        return score_table(self.bundle, model_input, **(params or {}))


# What MLflow asks of such a file. It is the only thing that happens when it is run.
set_model(Scorer())
