"""Check mode: every call runs the compiled kernel and its NumPy twin, and a difference raises.

`expected.py` says what each function should have returned, `sums.py` how far rounding may carry a
sum of products from that, `error.py` what is told about a result that lies beyond.
"""

from .error import KernelError
from .run import replay, verified, verified_step

__all__ = ["KernelError", "replay", "verified", "verified_step"]
