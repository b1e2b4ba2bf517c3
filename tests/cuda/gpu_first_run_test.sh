#!/usr/bin/env bash
# launch/gpu-first-run over a cmake, a ctest and a python3 of the test's own: what it says of parts that fail or skip, and the time it gives to the figures.
# usage: gpu_first_run_test.sh REPOSITORY
set -euo pipefail
repository=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/bin" "$folder/build/cuda"
cp -r "$repository/launch" "$folder"

stub() { printf '#!/usr/bin/env bash\n%s\n' "$2" >"$folder/$1" && chmod +x "$folder/$1"; }
stub bin/cmake 'exit 0'
stub bin/ctest 'echo "1/1 Test #1: gpu.kernel.adamw ......***Skipped   0.01 sec"'
stub bin/python3 'echo "figures: $*"'
stub build/cuda/zerosim 'echo "the driver is gone"; exit 3'

code=0
PATH=$folder/bin:$PATH "$folder/launch/gpu-first-run" --seconds 25 >"$folder/output" || code=$?
expect() { grep -q -e "$1" "$2" || { printf 'not in %s: %s\n' "$2" "$1"; cat "$folder/output"; exit 1; }; }
expect '^build *passed' "$folder/output"
expect '^the driver is gone' "$folder/output"                                # the log may stay on that machine
expect '^doctor *FAILED' "$folder/output"
expect '^kernels *SKIPPED' "$folder/output"                                  # ctest calls it a success
expect '^figures *passed' "$folder/output"
expect '--seconds 1[0-5] ' "$folder/build/gpu-first-run/figures.log"         # of the 25, not of a whole call: it must print before it is cut off
[ "$code" = 1 ] || { echo "exit code $code"; exit 1; }
