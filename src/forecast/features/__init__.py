"""Point-in-time features and the registry that says what each is and when it is known."""

from forecast.features.builder import (
    FeatureMatrix,
    bant_totals,
    build,
    category_texts,
    feature_names,
    number_or_nan,
)
from forecast.features.phrases import ANSWERS, Phrasebook
from forecast.features.policy import Decision, decide_fields
from forecast.features.registry import BUILT_IN, FeatureSpec, custom_spec, label, spec_of

__all__ = [
    "ANSWERS",
    "BUILT_IN",
    "Decision",
    "FeatureMatrix",
    "FeatureSpec",
    "Phrasebook",
    "bant_totals",
    "build",
    "category_texts",
    "custom_spec",
    "decide_fields",
    "feature_names",
    "label",
    "number_or_nan",
    "spec_of",
]
