"""The eight tables: every column's name, type, range and meaning, said once.

`Deals.amount` is the column's *name*; other modules use it instead of a string of their own. The models
describe the frames inside the program. A file may leave out a column that is nullable or has a default;
`required_columns` says which it must have. `data/schemas/*.yaml` is generated from here (see `schemas`).
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd
import pandera.pandas as pa
from pandera.engines import pandas_engine
from pandera.extensions import register_check_method
from pandera.typing import Series

from forecast.errors import UsageError
from forecast.periods import Period

__all__ = [
    "BANT",
    "DEFAULTS",
    "EVENT_FIELDS",
    "KEYS",
    "MAX_ID",
    "MODELS",
    "OPEN_TABLES",
    "REQUIRED_TABLES",
    "TABLES",
    "Activities",
    "DealEvents",
    "Deals",
    "FxRates",
    "Leads",
    "Quotas",
    "Stages",
    "Users",
    "required_columns",
    "schema_of",
]

MAX_ID: Final = 255
# Beyond this a float no longer holds cents, and sums of amounts stop being sums.
_MAX_AMOUNT: Final = 1e13


# Checks without arguments, registered by name so that the YAML can speak of them. (Pandera writes arguments
# that are moments only for datetime64[ns], and its patterns let a trailing newline through.)
@register_check_method  # type: ignore[untyped-decorator]
def no_control_character(texts: pd.Series) -> pd.Series:
    """No C0 or C1 control character: such ids look alike on a screen and break the logs they enter."""
    return ~texts.str.contains(r"[\x00-\x1F\x7F-\x9F]")


@register_check_method  # type: ignore[untyped-decorator]
def no_nul(texts: pd.Series) -> pd.Series:
    """No NUL character; tabs and line breaks may stand in text."""
    return ~texts.str.contains("\0", regex=False)


@register_check_method  # type: ignore[untyped-decorator]
def from_1970_to_2199(moments: pd.Series) -> pd.Series:
    """Within the years every date of Forecast lies in."""
    inside: pd.Series = moments.dt.year.between(1970, 2199)
    return inside


@register_check_method  # type: ignore[untyped-decorator]
def period_name(texts: pd.Series) -> pd.Series:
    """`2026Q1`, `2026-01` or `2026`."""
    return texts.isin([text for text in texts.unique() if _is_period(text)])


def _is_period(text: str) -> bool:
    try:
        return Period.parse(text).label == text
    except UsageError:
        return False


def _id(description: str, *, nullable: bool = False, **more: Any) -> Any:
    return pa.Field(
        str_length={"min_value": 1, "max_value": MAX_ID},
        no_control_character={},
        nullable=nullable,
        description=description,
        **more,
    )


def _text(description: str) -> Any:
    return pa.Field(no_nul={}, nullable=True, description=description)


def _choice(description: str, *values: str, nullable: bool = False, **more: Any) -> Any:
    return pa.Field(isin=list(values), nullable=nullable, description=description, **more)


def _moment(description: str, *, nullable: bool = False) -> Any:
    return pa.Field(
        from_1970_to_2199={},
        dtype_kwargs={"unit": "us", "tz": "UTC"},
        nullable=nullable,
        description=description,
    )


def _date(description: str, *, nullable: bool = False) -> Any:
    # Pandera knows no unit of a moment without zone; `Tables.from_frames` makes it microseconds.
    return pa.Field(from_1970_to_2199={}, nullable=nullable, description=description)


def _amount(description: str, *, least: float = -_MAX_AMOUNT, nullable: bool = True) -> Any:
    return pa.Field(
        in_range={"min_value": least, "max_value": _MAX_AMOUNT}, nullable=nullable, description=description
    )


def _share(description: str) -> Any:
    return pa.Field(in_range={"min_value": 0.0, "max_value": 1.0}, nullable=True, description=description)


class _Table(pa.DataFrameModel):  # type: ignore[misc]  # pandera publishes no types we can follow
    class Config:
        # Only the columns named here, unless the table takes custom attributes.
        strict = True


class Stages(_Table):
    """The steps of every sales process."""

    pipeline: Series[str] = _id("Sales process the stage belongs to")
    stage: Series[str] = _id("Name of the stage, unique within its pipeline")
    position: Series[int] = pa.Field(
        in_range={"min_value": -1_000_000, "max_value": 1_000_000}, description="Order within the pipeline"
    )
    kind: Series[str] = _choice("What a deal in this stage is", "open", "won", "lost")
    default_probability: Series[float] = _share("The CRM's own win probability of the stage")
    label: Series[str] = _text("Name for people")

    class Config(_Table.Config):
        name = "stages"
        description = "Stages of the sales processes. At least one is of kind `won`."
        unique = ["pipeline", "stage"]  # noqa: RUF012  (pandera's own form)


class Deals(_Table):
    """Potential sales, one row each, as the CRM shows them now."""

    deal_id: Series[str] = _id("Id of the deal; always text")
    pipeline: Series[str] = _id("Sales process the deal follows", default="sales")
    motion: Series[str] = _choice("Kind of sale", "new", "renewal", "expansion", default="new")
    created_at: Series[pd.DatetimeTZDtype] = _moment("When the deal was created")
    account_id: Series[str] = _id("Customer", nullable=True)
    source: Series[str] = _text("Where the deal came from")
    owner_id: Series[str] = _id("User answerable for the deal", nullable=True)
    amount: Series[float] = _amount("Amount in `currency`")
    currency: Series[str] = _id("Currency of the amount; empty is the reporting currency", nullable=True)
    expected_close_on: Series[pandas_engine.DateTime] = _date("The seller's date for closing", nullable=True)
    forecast_category: Series[str] = _choice(
        "The seller's own judgement", "commit", "best_case", "pipeline", "omitted", nullable=True
    )
    budget: Series[float] = _share("Budget: 0 known absent, 1 confirmed, empty never established")
    authority: Series[float] = _share("Authority to buy, as budget")
    need: Series[float] = _share("Need, as budget")
    timeline: Series[float] = _share("Timeline, as budget")

    class Config(_Table.Config):
        name = "deals"
        description = "Deals as they stand now. Further columns are custom attributes and stay text."
        strict = False
        unique = ["deal_id"]  # noqa: RUF012


class DealEvents(_Table):
    """Dated changes of one field of a deal."""

    deal_id: Series[str] = _id("Deal that changed")
    recorded_at: Series[pd.DatetimeTZDtype] = _moment("When the change became known")
    field: Series[str] = _id("What changed: `stage`, a changing column of deals, or a custom attribute")
    value: Series[str] = _text("New value as text; empty means unknown from then on")
    actor: Series[str] = _text("Who made the change")

    class Config(_Table.Config):
        name = "deal_events"
        description = "History of the deals. Every deal has at least one `stage` event."


class Activities(_Table):
    """Calls, mails, meetings about a deal or a lead."""

    deal_id: Series[str] = _id("Deal it belongs to; this or lead_id", nullable=True)
    lead_id: Series[str] = _id("Lead it belongs to; this or deal_id", nullable=True)
    occurred_at: Series[pd.DatetimeTZDtype] = _moment("When it happened")
    kind: Series[str] = _choice("What it was", "call", "email", "meeting", "note", "task", "other")
    direction: Series[str] = _choice("From the customer or to the customer", "in", "out", nullable=True)

    class Config(_Table.Config):
        name = "activities"
        description = "Contacts with a customer. Exactly one of deal_id and lead_id is given."


class Users(_Table):
    """The sales organisation."""

    user_id: Series[str] = _id("Id of the user")
    name: Series[str] = _text("Name for people")
    team: Series[str] = _id("Team the user's bookings count for", nullable=True)
    region: Series[str] = _id("Region the user's bookings count for", nullable=True)
    manager_id: Series[str] = _id("User who manages this one", nullable=True)
    email: Series[str] = _text("Address for reports")
    active: Series[bool] = pa.Field(default=True, description="Whether the user still sells")

    class Config(_Table.Config):
        name = "users"
        description = "Users and their place in the organisation."
        unique = ["user_id"]  # noqa: RUF012


class Quotas(_Table):
    """Targets."""

    level: Series[str] = _choice("What the target is for", "user", "team", "region", "company")
    entity: Series[str] = _id("User id, team or region; `*` for the company")
    period: Series[str] = pa.Field(period_name={}, description="2026Q1, 2026-01 or 2026")
    amount: Series[float] = _amount("Target in `currency`", least=0.0, nullable=False)
    currency: Series[str] = _id("Currency of the target; empty is the reporting currency", nullable=True)

    class Config(_Table.Config):
        name = "quotas"
        description = "Targets by period."
        unique = ["level", "entity", "period"]  # noqa: RUF012


class Leads(_Table):
    """People or companies that are not a deal yet."""

    lead_id: Series[str] = _id("Id of the lead; always text")
    created_at: Series[pd.DatetimeTZDtype] = _moment("When the lead was created")
    source: Series[str] = _text("Where the lead came from")
    owner_id: Series[str] = _id("User answerable for the lead", nullable=True)
    account_id: Series[str] = _id("Customer", nullable=True)
    budget: Series[float] = _share("Budget: 0 known absent, 1 confirmed, empty never established")
    authority: Series[float] = _share("Authority to buy, as budget")
    need: Series[float] = _share("Need, as budget")
    timeline: Series[float] = _share("Timeline, as budget")
    converted_at: Series[pd.DatetimeTZDtype] = _moment("When it became a deal", nullable=True)
    deal_id: Series[str] = _id("Deal it became", nullable=True)
    disqualified_at: Series[pd.DatetimeTZDtype] = _moment("When it was given up", nullable=True)

    class Config(_Table.Config):
        name = "leads"
        description = "Leads. Further columns are custom attributes and stay text."
        strict = False
        unique = ["lead_id"]  # noqa: RUF012


class FxRates(_Table):
    """Exchange rates."""

    currency: Series[str] = _id("Currency that is converted")
    valid_from: Series[pandas_engine.DateTime] = _date("First day of the rate")
    rate: Series[float] = pa.Field(
        gt=0.0, le=1e12, description="Units of the reporting currency for one unit of this one"
    )

    class Config(_Table.Config):
        name = "fx_rates"
        description = "Dated exchange rates to the reporting currency."
        unique = ["currency", "valid_from"]  # noqa: RUF012


MODELS: Final[dict[str, Any]] = {
    "stages": Stages,
    "deals": Deals,
    "deal_events": DealEvents,
    "activities": Activities,
    "users": Users,
    "quotas": Quotas,
    "leads": Leads,
    "fx_rates": FxRates,
}
_SCHEMAS: Final[dict[str, Any]] = {name: model.to_schema() for name, model in MODELS.items()}

TABLES: Final[dict[str, tuple[str, ...]]] = {name: tuple(s.columns) for name, s in _SCHEMAS.items()}
"""Columns of each table in the order of the contract."""

REQUIRED_TABLES: Final = ("stages", "deals", "deal_events")
OPEN_TABLES: Final = ("deals", "leads")
"""Tables in which unknown columns are custom attributes and are kept."""

DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    name: {column: spec.default for column, spec in schema.columns.items() if spec.default is not None}
    for name, schema in _SCHEMAS.items()
}
"""What an empty cell of a column means, where it does not mean unknown."""

# Two rows of one key are two versions of one thing: the later one in the file holds. An event has no id: it
# is the same event when all of it but its author is the same.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    **{name: tuple(schema.unique) for name, schema in _SCHEMAS.items() if schema.unique},
    "deal_events": (DealEvents.deal_id, DealEvents.recorded_at, DealEvents.field, DealEvents.value),
    "activities": TABLES["activities"],
}

BANT: Final = (Deals.budget, Deals.authority, Deals.need, Deals.timeline)
EVENT_FIELDS: Final = (
    "stage",
    Deals.amount,
    Deals.expected_close_on,
    Deals.owner_id,
    Deals.forecast_category,
    *BANT,
)
"""Fields of `deal_events` that the contract names; any other name that is no column of deals is custom."""


def schema_of(table: str) -> Any:
    """The pandera schema of a table."""
    return _SCHEMAS[table]


def required_columns(table: str) -> tuple[str, ...]:
    """Columns a file of the table must have."""
    # An event without a value column says nothing, although a single value may be empty.
    return tuple(
        name
        for name, spec in _SCHEMAS[table].columns.items()
        if (not spec.nullable and spec.default is None) or (table, name) == ("deal_events", DealEvents.value)
    )
