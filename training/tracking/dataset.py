"""The data of a training as MLflow knows data sets: a name, a fingerprint, columns and counts, never a copy.

Where the data lay stays out of it: a path says much to a stranger and nothing to another machine. The
fingerprint is what finds them again: the same tables have the same one, wherever they lie (`forecast.tables`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from forecast.tables import TABLES, Tables

__all__ = ["DataFacts", "data_facts", "dataset_input"]

_DIGEST: Final = 36  # characters of a digest that MLflow's databases keep
_KINDS: Final = {"M": "datetime", "f": "double", "i": "long", "b": "boolean"}


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is recorded of the tables.

    name : as the user calls them, e.g. the last part of their folder's path
    schema : table.column -> kind; rows : table -> number of rows
    """

    name: str
    fingerprint: str
    schema: dict[str, str]
    rows: dict[str, int]


def data_facts(tables: Tables, name: str) -> DataFacts:
    """Facts of tables that are not empty."""
    frames = {table: getattr(tables, table) for table in TABLES}
    frames = {table: frame for table, frame in frames.items() if len(frame)}
    schema = {
        f"{table}.{column}": _KINDS.get(kind.kind, "string")
        for table, frame in frames.items()
        for column, kind in frame.dtypes.items()
    }
    return DataFacts(name, tables.fingerprint, schema, {table: len(frame) for table, frame in frames.items()})


def dataset_input(facts: DataFacts) -> Any:
    """The `mlflow.entities.DatasetInput` of a training."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"name": name, "type": kind, "required": False} for name, kind in facts.schema.items()]
    data = Dataset(
        name=facts.name,
        digest=facts.fingerprint[:_DIGEST],
        source_type="forecast_tables",
        source=json.dumps({"name": facts.name, "fingerprint": facts.fingerprint}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"rows": facts.rows}),
    )
    return DatasetInput(data, tags=[InputTag("mlflow.data.context", "training")])
