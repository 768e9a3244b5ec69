"""A company's data: the contract of its eight tables, reading them with nothing lost, writing them whole."""

from forecast.tables.check import CheckReport, FolderError
from forecast.tables.dialect import PLAIN, Dialect, read_dialect
from forecast.tables.known import known_before
from forecast.tables.models import TABLES
from forecast.tables.money import Money
from forecast.tables.reading import Reading, open_tables, read_folder, write_folder
from forecast.tables.tables import Tables, empty_tables
from forecast.tables.writing import table_bytes, write_bytes, write_table

__all__ = [
    "PLAIN",
    "TABLES",
    "CheckReport",
    "Dialect",
    "FolderError",
    "Money",
    "Reading",
    "Tables",
    "empty_tables",
    "known_before",
    "open_tables",
    "read_dialect",
    "read_folder",
    "table_bytes",
    "write_bytes",
    "write_folder",
    "write_table",
]
