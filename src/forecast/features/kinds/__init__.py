"""Hidden kinds of deals, told apart by the whole course a deal has taken (latent class analysis)."""

from forecast.features.kinds.fit import fit_kinds
from forecast.features.kinds.kinds import (
    CHANCES,
    KINDS,
    REFERENCE,
    BoundKinds,
    Kinds,
    Likeness,
    likeness_of,
)

__all__ = ["CHANCES", "KINDS", "REFERENCE", "BoundKinds", "Kinds", "Likeness", "fit_kinds", "likeness_of"]
