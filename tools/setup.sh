# shellcheck shell=bash
# Sourced by ./check, ./demo and ./soak: brings a fresh Debian 12 machine to the point where MARS is built. Needs bash.
# The caller stands at the root of the repository.

export NINJA_STATUS='[%f/%t %es] '
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
mars_jobs=${MARS_JOBS:-$(nproc)}

say() { printf '== %s\n' "$*"; }

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Prints the packages of the groups given that are not installed, each once.
missing_packages() {
  local group listed=()
  for group in "$@"; do
    mapfile -t -O "${#listed[@]}" listed < <(sed -n "s/^$group: *//p" packages | tr -s ' ' '\n')
  done
  # dpkg-query fails when it does not know a package; what it does print is all that is needed.
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${listed[@]}" 2>/dev/null |
              sed -n 's/^installed //p' || true)
  comm -23 <(printf '%s\n' "${listed[@]}" | sort -u) <(printf '%s\n' "$installed" | sort -u)
}

need_packages() {
  command -v dpkg-query >/dev/null || die "This set-up knows Debian 12 only. Install what the file 'packages' lists."
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    die "Packages are missing. Run this, then start again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"
}

# Without a writable home the compiler cache goes below build/.
choose_cache() {
  if [[ -z ${CCACHE_DIR:-} && ! -w ${HOME:-/nonexistent} ]]; then
    export CCACHE_DIR=$PWD/build/.ccache
  fi
}

configure() {
  local preset=$1 log=build/$1/configure.log
  say "configuring build/$preset"
  mkdir -p "build/$preset"
  cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; die "cmake failed, see $log"; }
}

# build PRESET [TARGET...]: all targets when none is named.
build() {
  local preset=$1
  shift
  configure "$preset"
  say "building build/$preset ${*:-(everything)}"
  ninja -C "build/$preset" -j "$mars_jobs" "$@"
}
