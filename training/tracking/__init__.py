"""MLflow, and nothing but MLflow: the only package that imports it.

A training is done when its bundle is written. What happens here comes after, reads only that folder, and may
fail without losing anything: running the same command again gives the same bundle and records it.

- A run holds the settings as parameters, the metrics, the data's fingerprint, the model card and the tables
  and charts behind it; a child run each rung of the ladder, and one the held-out period.
- It puts out a model that scores tables (`pyfunc`), with the bundle in it as a plain folder of text files.
  Nothing is pickled. A registered version points at that model.
- The first version gets the alias `champion`, because something must serve; a later one `candidate`, until
  `python -m training promote` has compared the two.
- One bundle is registered once: its id is the tag `bundle_id` of the version.
"""

from training.tracking.client import DEFAULT_URI, tracking_uri
from training.tracking.dataset import DataFacts, data_facts
from training.tracking.pyfunc import BUNDLE_PATH, bundle_in
from training.tracking.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry
from training.tracking.runs import Child, Record, Recorded, record

__all__ = [
    "BUNDLE_PATH",
    "CANDIDATE",
    "CHAMPION",
    "DEFAULT_URI",
    "PREVIOUS",
    "Child",
    "DataFacts",
    "Record",
    "Recorded",
    "Registry",
    "bundle_in",
    "data_facts",
    "record",
    "tracking_uri",
]
