"""JSON at the speed of msgspec, for the roads that carry the traffic; `strict_json` says what is right.

This is the only module that needs msgspec (extra `serve`): whoever scores tables goes without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from forecast.service.encoding import cells_of

__all__ = ["json_rows", "loads_at_once", "most_keys"]

_decode: Final = msgspec.json.Decoder().decode
# What may stand before the colon behind a key: the key's closing quote, or white space.
_BEFORE_COLON: Final = np.zeros(256, dtype=bool)
_BEFORE_COLON[list(b'" \t\n\r')] = True
# A NaN would leave as null, without a word: `cells_of` has turned it into what it means before.
_encode: Final = msgspec.json.Encoder().encode


def loads_at_once(body: bytes) -> Any:
    """The same values as `loads` three times as fast, or ValueError where they may differ.

    Of a key that comes twice the last value is taken: whoever reads an answer of this compares the number of
    keys it holds with `most_keys`.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("not plain JSON") from error


def most_keys(body: bytes) -> int:
    """At least as many as the objects in a body have keys, the repeated ones counted each time.

    Every key ends in a quote, and nothing but white space stands between it and its colon. Such a colon inside
    a text counts too: so where values hold as many keys as this, none was lost to a repetition.
    """
    text = np.frombuffer(body, dtype=np.uint8)
    colons = np.flatnonzero(text[1:] == 58)
    return int(np.count_nonzero(_BEFORE_COLON[text[colons]]))


def json_rows(
    columns: Mapping[str, NDArray[Any]], *, moments: Collection[str] = (), json_texts: Collection[str] = ()
) -> list[bytes]:
    """The rows of `encoding.rows` as JSON objects, ready to be sent.

    json_texts : columns that hold JSON as text, put in as they are
    """
    cells = [
        [msgspec.Raw(text) for text in values]
        if name in json_texts
        else cells_of(values, is_moment=name in moments)
        for name, values in columns.items()
    ]
    return [_encode(dict(zip(columns, row, strict=True))) for row in zip(*cells, strict=True)]
