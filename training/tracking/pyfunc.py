"""A bundle as an MLflow model: signature, example, requirements, and the code that scores a table with it.

    MODEL/
        MLmodel, conda.yaml, ...    MLflow's own description
        scorer.py                   run when the model is loaded (`training.tracking.scorer`)
        artifacts/bundle/           the bundle, file by file what the training wrote

Whoever wants the bundle alone downloads `artifacts/bundle` and needs no MLflow from then on.
"""

from __future__ import annotations

import re
import shutil
import warnings
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd

from forecast.bundle import Bundle, load_bundle
from forecast.scoring import SCORE_COLUMNS
from forecast.service.engine import Engine
from forecast.service.flat import flat_row
from forecast.service.openapi import example_score_request
from forecast.tables import TABLES

__all__ = ["BUNDLE_PATH", "bundle_in", "save_model"]

# Where the bundle lies inside the model.
BUNDLE_PATH: Final = "artifacts/bundle"
_CODE: Final = Path(__file__).with_name("scorer.py")
_ATTRIBUTE: Final = "custom:"
# Columns of the scores that are no numbers. The score is one: no whole number can say that it is unknown.
_TEXTS: Final = frozenset(
    {"deal_id", "as_of", "pipeline", "owner_id", "stage", "grade", "reasons"}
    | {"close_on_p10", "close_on_p50", "close_on_p90"}
)


def save_model(bundle: Path, into: Path, *, model: Any) -> None:
    """Write the bundle folder as an MLflow model into the new folder `into`.

    model : the `mlflow.models.Model` to describe it with, which knows its run and its id
    """
    with warnings.catch_warnings():
        # Its import warns of type hints of its own.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
    from mlflow.models import ModelSignature

    loaded = load_bundle(bundle)
    example, asked = _example(loaded)
    with TemporaryDirectory() as scratch:
        # MLflow calls a folder of the model what it was called before.
        named = Path(scratch) / Path(BUNDLE_PATH).name
        shutil.copytree(bundle, named)
        mlflow.pyfunc.save_model(
            into,
            mlflow_model=model,
            python_model=str(_CODE),
            artifacts={"bundle": str(named)},
            signature=ModelSignature(_inputs(loaded), _outputs(), _params()),
            input_example=(example, asked),
            # Said here, so that MLflow does not start a process of its own to find out.
            pip_requirements=_requirements(),
            metadata={"bundle_id": loaded.id, "trained_until": loaded.trained_until.isoformat()},
        )
    # Where things lay on this machine is nobody's business, and nothing reads it.
    described = model.flavors["python_function"]
    described["model_code_path"] = _CODE.name
    described["artifacts"]["bundle"]["uri"] = BUNDLE_PATH
    model.save(into / "MLmodel")


def bundle_in(folder: Path) -> Path:
    """The bundle of a downloaded version: inside the model, or the folder itself, as versions once were."""
    inside = folder / BUNDLE_PATH
    return inside if inside.is_dir() else folder


def _inputs(bundle: Bundle) -> Any:
    """Columns of a deal. Only the id has a type here: the door of the service checks, and names the row."""
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    attributes = sorted(
        one.feature.removeprefix(_ATTRIBUTE)
        for one in bundle.models.decisions
        if one.used and one.feature.startswith(_ATTRIBUTE)
    )
    required = {"deal_id": DataType.string, "created_at": AnyType()}
    others = [*(name for name in TABLES["deals"] if name not in required), "stage", "events", "activities"]
    return Schema(
        [
            *(ColSpec(kind, name) for name, kind in required.items()),
            *(ColSpec(AnyType(), name, required=False) for name in [*others, *attributes]),
        ]
    )


def _outputs() -> Any:
    from mlflow.types.schema import ColSpec, DataType, Schema

    return Schema(
        [
            ColSpec(DataType.string if name in _TEXTS else DataType.double, name, required=False)
            for name in SCORE_COLUMNS
        ]
    )


def _params() -> Any:
    from mlflow.types.schema import ParamSchema, ParamSpec

    return ParamSchema(
        [
            ParamSpec("as_of", "string", ""),
            ParamSpec("period", "string", ""),
            ParamSpec("reasons", "integer", 5),
            ParamSpec("locale", "string", "en"),
        ]
    )


def _example(bundle: Bundle) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The example of the HTTP service, in this bundle's stages, as a table of one row."""
    pipeline, stages = Engine.of(bundle).example_stages()
    request = example_score_request(stages, pipeline)
    return pd.DataFrame([flat_row(deal) for deal in request["deals"]]), {"as_of": request["as_of"]}


def _requirements() -> list[str]:
    """What the base of Forecast needs, in the versions at hand. Forecast itself comes from your own wheel.

    Its name is left out on purpose: a package index may know another project of this name.
    """
    base = [
        re.split(r"[^\w.-]", one, maxsplit=1)[0]
        for one in metadata.requires("forecast") or ()
        if "extra ==" not in one
    ]
    return [f"{name}=={metadata.version(name)}" for name in sorted({"mlflow", *base})]
