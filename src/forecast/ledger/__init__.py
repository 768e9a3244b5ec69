"""What has been said and done, append-only: published forecasts, judgements, keys, what was served.

    Ledger.open(url) --> SQLite file or PostgreSQL database, at the newest schema

docs/ledger.md says what is kept, why and how long. Only this package knows SQL of it; what a key may see is
decided in `scope` alone.
"""

from forecast.ledger.audit import Audit, Entry
from forecast.ledger.erase import KINDS, Erased, Subject
from forecast.ledger.idempotency import Repeat
from forecast.ledger.journal import Served
from forecast.ledger.judgements import Judgement
from forecast.ledger.keys import LedgerKeys, NewKey, StoredKey
from forecast.ledger.ledger import DealRecord, Ledger
from forecast.ledger.outbox import Parcel
from forecast.ledger.place import DEFAULT_URL, LEDGER_FILE, LEDGER_URL, Place, ledger_url, parse_place
from forecast.ledger.snapshots import Published, Snapshot, SnapshotRow

__all__ = [
    "DEFAULT_URL",
    "KINDS",
    "LEDGER_FILE",
    "LEDGER_URL",
    "Audit",
    "DealRecord",
    "Entry",
    "Erased",
    "Judgement",
    "Ledger",
    "LedgerKeys",
    "NewKey",
    "Parcel",
    "Place",
    "Published",
    "Repeat",
    "Served",
    "Snapshot",
    "SnapshotRow",
    "StoredKey",
    "Subject",
    "ledger_url",
    "parse_place",
]
