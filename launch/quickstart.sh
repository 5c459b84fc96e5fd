#!/bin/sh
# Sets everything up in .venv and runs the main job: ResNet-18 on the published 512-cluster chip, on two MPI ranks.
# Usage: launch/quickstart.sh [RANKS]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/launch/environment.sh"
make_environment --editable '.[mpich]'

ranks=${1:-2}
number=1
while [ -e "$root/runs/quickstart-$number" ]; do number=$((number + 1)); done
run="$root/runs/quickstart-$number"
PATH="$root/.venv/bin:$PATH"

echo "Emulating ResNet-18 on 16 photographs, $ranks rank(s)"
aimc run "$root/configs/runs/resnet18-naive.yaml" -n "$ranks" -o "$run"
echo
echo "Comparing the values with onnxruntime"
aimc verify "$run"
echo
aimc report "$run"
cat <<END

Where to look, in $root:
  runs/${run##*/}/trace.h5        everything that happened, columns as in traces/SCHEMA.md
  runs/${run##*/}/timeline.png    when every cluster was busy
  README.md                         what to try next
Commands are in .venv/bin: source .venv/bin/activate, then aimc --help
END
