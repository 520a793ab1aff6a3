"""What a handful of timings says."""

import statistics
from collections.abc import Sequence


def spread(times: Sequence[float]) -> float:
    """Third quartile minus first, as a part of the median; of two timings or more."""
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return (third - first) / median
