"""``python -m emulator CONFIG -o DIR``: one rank of a run, under whatever launcher started it."""

import os

# One thread per rank unless the user says otherwise; numpy and numba look when they are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from launch.cli import rank_main  # noqa: E402 (after the environment is set)
from launch.watch import announce  # noqa: E402

if __name__ == "__main__":
    announce()  # before the long imports, so that a rank is known by name from its first moment
    raise SystemExit(rank_main())
