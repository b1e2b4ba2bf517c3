# Messages, logged commands and the build, shared by launch/quickstart and launch/test. Sourced with the repository root as cwd.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit "${2:-1}"
}

# logged LOG COMMAND...: runs quietly; on failure prints the last lines of the log and ends with the command's own code.
logged() {
  local log=$1 code=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null || code=$?
  if [ "$code" -ne 0 ]; then
    printf '\n--- last lines of %s\n' "$log" >&2
    tail -n 40 "$log" >&2
    printf -- '---\n' >&2
    fail "'$*' failed with code $code; the whole log is $log" "$code"
  fi
}

# build PRESET TARGETS OPTIONS...: configures and builds build/PRESET. TARGETS "all" builds everything.
build() {
  local preset=$1 target=$2
  shift 2
  local folder=build/$preset
  local options=()
  read -ra options <<<"${ZEROSIM_CMAKE:-}"
  logged "$folder/logs/configure.log" cmake --preset "$preset" "$@" "${options[@]}"
  if cmake --build "$folder" --target "$target" -- -n 2>/dev/null | grep -q 'no work to do'; then
    return 0
  fi
  say "Building $folder with $(nproc) jobs (a few minutes the first time) ..."
  logged "$folder/logs/build.log" cmake --build "$folder" --target "$target" --parallel "$(nproc)"
}
