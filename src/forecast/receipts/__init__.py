"""Receipts: what a published file was made from, written beside it, and the check that it still holds.

command ──► content ──► publish ──► scores.csv, scores.csv.receipt.json
                                         │
               verify ◄── data, bundle ──┘   makes the content again and compares it to the byte
"""

from forecast.receipts.publish import output_code, publish
from forecast.receipts.reads import KINDS, read_as_of
from forecast.receipts.receipt import Receipt, read_receipt, receipt_path
from forecast.receipts.verify import Check, code_check, data_check, verify_bundle, verify_output

__all__ = [
    "KINDS",
    "Check",
    "Receipt",
    "code_check",
    "data_check",
    "output_code",
    "publish",
    "read_as_of",
    "read_receipt",
    "receipt_path",
    "verify_bundle",
    "verify_output",
]
