"""A company's data: the contract of its eight tables, reading them with nothing lost, writing them whole."""

from forecast.tables.check import CheckReport, FolderError
from forecast.tables.dialect import PLAIN, Dialect, read_dialect
from forecast.tables.models import TABLES
from forecast.tables.money import Money
from forecast.tables.reading import Reading, read_folder, write_folder
from forecast.tables.tables import Tables, empty_tables
from forecast.tables.writing import write_bytes, write_table

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
    "read_dialect",
    "read_folder",
    "write_bytes",
    "write_folder",
    "write_table",
]
