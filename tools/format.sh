#!/usr/bin/env bash
# format.sh [--fix] [FILE...]: says which sources clang-format would change; --fix changes them.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run -Werror)
if [[ ${1:-} == --fix ]]; then
  mode=(-i)
  shift
fi
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(find src sim fuzz bench test \( -name '*.cc' -o -name '*.h' \) 2>/dev/null | sort)
fi
for file in "${files[@]}"; do
  [[ $file == *.cc || $file == *.h ]] || { echo "$file is no C++ source; nothing was changed" >&2; exit 2; }
done
((${#files[@]} == 0)) || clang-format-19 "${mode[@]}" "${files[@]}"
