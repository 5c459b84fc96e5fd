#!/bin/sh
# Sets everything up in .venv and runs all checks: formatting, lint, types, import contracts, tests.
# Usage: launch/test.sh [PYTEST ARGUMENTS]; with arguments, only the tests that they choose.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/launch/environment.sh"
make_environment --editable '.[mpich,html,export]' --group dev

cd "$root"
PATH="$root/.venv/bin:$PATH"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
if [ $# -eq 0 ]; then
    ruff check .
    ruff format --check .
    mypy
    lint-imports
fi
exec python -m pytest "$@"
