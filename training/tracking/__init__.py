"""MLflow, and nothing but MLflow: the only package that imports it.

A training is done when its bundle is written. What happens here comes after, reads only that folder, and may
fail without losing anything: running the same command again gives the same bundle and records it.

- A run holds the settings as parameters, the metrics, and the bundle folder as artifact `bundle`.
- A registered version points at that artifact. It is a plain folder of text files: nothing is pickled.
- The first version gets the alias `champion`, because something must serve; a later one `candidate`, until
  `python -m training promote` has compared the two.
- One bundle is registered once: its id is the tag `bundle_id` of the version.
"""

from training.tracking.client import DEFAULT_URI, tracking_uri
from training.tracking.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry
from training.tracking.runs import Record, Recorded, record

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "DEFAULT_URI",
    "PREVIOUS",
    "Record",
    "Recorded",
    "Registry",
    "record",
    "tracking_uri",
]
