"""Point-in-time features and the registry that says what each is and when it is known."""

from forecast.features.builder import (
    KIND_FEATURES,
    FeatureMatrix,
    bant_totals,
    build,
    category_texts,
    feature_names,
    number_or_nan,
)
from forecast.features.lead_policy import check_lead_field_names, decide_lead_fields
from forecast.features.leads import Customers, DatedCustomers, FrozenCustomers, build_leads
from forecast.features.leakage import Finding, LeakRules, audit_fields, audit_lead_fields, worst_first
from forecast.features.phrases import ANSWERS, Phrasebook
from forecast.features.policy import Decision, check_field_names, decide_fields
from forecast.features.registry import BUILT_IN, LEADS, FeatureSpec, custom_spec, label, spec_of

__all__ = [
    "ANSWERS",
    "BUILT_IN",
    "KIND_FEATURES",
    "LEADS",
    "Customers",
    "DatedCustomers",
    "Decision",
    "FeatureMatrix",
    "FeatureSpec",
    "Finding",
    "FrozenCustomers",
    "LeakRules",
    "Phrasebook",
    "audit_fields",
    "audit_lead_fields",
    "bant_totals",
    "build",
    "build_leads",
    "category_texts",
    "check_field_names",
    "check_lead_field_names",
    "custom_spec",
    "decide_fields",
    "decide_lead_fields",
    "feature_names",
    "label",
    "number_or_nan",
    "spec_of",
    "worst_first",
]
