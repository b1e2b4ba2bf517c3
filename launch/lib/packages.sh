# The Debian packages zerosim needs, and how to get those that are missing.
# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this

build_packages=(g++ cmake ninja-build libopenmpi-dev openmpi-bin libboost-program-options-dev libfmt-dev
  nlohmann-json3-dev libopenblas-dev zlib1g-dev libyaml-cpp-dev libtomlplusplus-dev)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev python3)

# Prints those of the given packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || printf '%s\n' "$package"
  done
}

# ensure_packages PACKAGE...: silent when all are there; installs as root or through sudo; else names the one line that does.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "Not a Debian system: packages are not checked. CMake will name what it cannot find; Debian's names are: $*"
    return 0
  fi
  local missing as_root=() line
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    # Without a terminal sudo could not ask for a password.
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      as_root=(sudo env)
    else
      fail "missing packages, and no right to install them. As root run:
  $line" 3
    fi
  else
    as_root=(env)
  fi
  say "Installing ${missing[*]} ..."
  logged build/logs/apt-update.log "${as_root[@]}" apt-get update
  logged build/logs/apt-install.log "${as_root[@]}" DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}
