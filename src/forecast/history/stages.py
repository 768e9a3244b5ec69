"""Stages of the sales process: their order, and what each says about a deal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["LOST", "OPEN", "WON", "StageMap"]

OPEN: Final = 0
WON: Final = 1
LOST: Final = 2
_KINDS: Final = ("open", "won", "lost")


@dataclass(frozen=True)
class StageMap:
    """All stages of all pipelines, in order of (pipeline, position, stage): the index is the stage's code.

    kind : (S,) OPEN, WON or LOST
    default_probability : (S,) the CRM's own figure, NaN where it has none
    """

    pipeline: tuple[str, ...]
    stage: tuple[str, ...]
    label: tuple[str, ...]
    position: NDArray[np.int64]
    kind: NDArray[np.int8]
    default_probability: NDArray[np.float64]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(S,) `pipeline/stage`, unique among all stages."""
        return tuple(f"{p}/{s}" for p, s in zip(self.pipeline, self.stage, strict=True))

    @cached_property
    def pipeline_texts(self) -> NDArray[np.object_]:
        """(S,) pipeline of each stage, to be looked up by code."""
        return np.array(self.pipeline, dtype=object)

    @cached_property
    def stage_texts(self) -> NDArray[np.object_]:
        """(S,) name of each stage, to be looked up by code."""
        return np.array(self.stage, dtype=object)

    @cached_property
    def step(self) -> NDArray[np.int64]:
        """(S,) place among the open stages of its pipeline: 0, 1, 2 ...; -1 for won and lost."""
        step = np.full(len(self.stage), -1, dtype=np.int64)
        pipelines = np.array(self.pipeline, dtype=object)
        for name in sorted(set(self.pipeline)):
            here = np.flatnonzero((pipelines == name) & (self.kind == OPEN))
            step[here] = np.arange(len(here))
        return step

    @cached_property
    def _codes(self) -> dict[tuple[str, str], int]:
        return {key: code for code, key in enumerate(zip(self.pipeline, self.stage, strict=True))}

    @classmethod
    def from_frame(cls, stages: pd.DataFrame) -> StageMap:
        """Read the `stages` table."""
        frame = stages.sort_values(["pipeline", "position", "stage"], kind="stable")
        label = frame["label"].where(frame["label"].notna(), frame["stage"])
        return cls(
            pipeline=tuple(map(str, frame["pipeline"])),
            stage=tuple(map(str, frame["stage"])),
            label=tuple(map(str, label)),
            position=frame["position"].to_numpy(np.int64),
            kind=np.array([_KINDS.index(kind) for kind in frame["kind"]], dtype=np.int8),
            default_probability=frame["default_probability"].to_numpy(np.float64, copy=True),
        )

    def __len__(self) -> int:
        return len(self.stage)

    def code(self, pipeline: str, stage: str) -> int:
        """Code of a stage, -1 if the pipeline has no such stage."""
        return self._codes.get((pipeline, stage), -1)

    def codes_of(self, pipeline: pd.Series, stage: pd.Series) -> NDArray[np.int64]:
        """Codes of many (pipeline, stage) pairs, -1 where unknown."""
        known = pd.MultiIndex.from_arrays([self.pipeline, self.stage])
        asked = pd.MultiIndex.from_arrays([pipeline.to_numpy(object), stage.to_numpy(object)])
        return known.get_indexer(asked).astype(np.int64)

    def to_json(self) -> list[dict[str, Any]]:
        """Rows of the stages table."""
        return [
            {
                "pipeline": self.pipeline[code],
                "stage": self.stage[code],
                "label": self.label[code],
                "position": int(self.position[code]),
                "kind": _KINDS[self.kind[code]],
                "default_probability": None if np.isnan(p) else float(p),
            }
            for code, p in enumerate(self.default_probability)
        ]

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> StageMap:
        """Inverse of `to_json`."""
        frame = pd.DataFrame(
            rows, columns=["pipeline", "stage", "label", "position", "kind", "default_probability"]
        )
        return cls.from_frame(frame.astype({"default_probability": "float64", "position": "int64"}))
