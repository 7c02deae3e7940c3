#!/usr/bin/env bash
# clang_tidy.sh BUILD_DIR [FILE...]: clang-tidy over the sources of the repository, several at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(find src sim -name '*.cc' | sort)
fi
printf '%s\n' "${files[@]}" |
  xargs -P "$(nproc)" -n 1 clang-tidy-19 -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option 2>/dev/null
