"""When rows arrived: what each upload changed in the counts of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """What the uploads of one kind changed, upload by upload and day by day.

    fresh
        (uploads,), instant up to which the source was told, µs since the epoch, by number of the upload. The first
        upload of a funnel is its history, and changes nothing here.
    upload, day
        (n,), index into `fresh`, and days since 1970.
    stage
        (n,), names.
    change
        (n,), by how much the rows (of counts: their sum) of that day changed.
    """

    fresh: Ints
    upload: Ints
    stage: Sequence[str]
    day: Ints
    change: npt.NDArray[np.float64]
