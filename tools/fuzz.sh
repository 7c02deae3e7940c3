#!/usr/bin/env bash
# fuzz.sh FUZZER NAME: lets build/.../fuzz_NAME look for $MARS_FUZZ_SECONDS (20), from the committed corpus. What it
# finds on the way stays beside the program; what makes it fail is printed with the command that repeats it.
# fuzz.sh --keep DIRECTORY-OF-FUZZERS: what was found there becomes part of fuzz/corpus, the smallest set that reaches
# as far.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [[ $1 == --keep ]]; then
  for fuzzer in "$2"/fuzz_*; do
    name=${fuzzer##*/fuzz_}
    kept=$(mktemp -d)
    mkdir -p "$root/fuzz/corpus/$name"
    "$fuzzer" -merge=1 -max_len=4096 "$kept" "$root/fuzz/corpus/$name" "$2/../corpus/$name" 2>/dev/null
    rm -r "$root/fuzz/corpus/$name"
    mv "$kept" "$root/fuzz/corpus/$name"
    printf '%s: %s inputs\n' "$name" "$(find "$root/fuzz/corpus/$name" -type f | wc -l)"
  done
  exit
fi
fuzzer=$1
name=$2
found=$(dirname "$fuzzer")/../corpus/$name
mkdir -p "$found" "$root/fuzz/corpus/$name"
status=0
nice "$fuzzer" -max_total_time="${MARS_FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -verbosity=1 -artifact_prefix="$found-" "$found" "$root/fuzz/corpus/$name" >"$found.log" 2>&1 || status=$?
grep -E '^stat::(number_of_executed_units|new_units_added)|INITED|DONE' "$found.log" || true
if ((status != 0)); then
  tail -n 60 "$found.log"
  printf 'fuzz_%s found something. Repeat it with: %s %s-*\n' "$name" "$fuzzer" "$found"
fi
exit $status
