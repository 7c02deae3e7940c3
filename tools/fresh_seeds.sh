#!/usr/bin/env bash
# fresh_seeds.sh MARS_SIM: storms over the simulated cluster with seeds that nobody has run yet, for
# $MARS_SEED_SECONDS (180). The mars-sim of $MARS_RELEASE_DIR, as ./check names it, does many times as many. Failing
# seeds stay beside the program. What it prints: the first seed, how many were run, and for each finding the command
# that repeats it.
set -euo pipefail
sim=${MARS_RELEASE_DIR:-$(dirname "$1")}/mars-sim
[[ -x $sim ]] || sim=$1
seconds=${MARS_SEED_SECONDS:-180}
base=${MARS_SEED_BASE:-$(($(date +%s) * 1000))}
printf '%s for %s s, seeds from %s\n' "$sim" "$seconds" "$base"
exec nice "$sim" --seed "$base" --seconds "$seconds" --jobs "${MARS_SEED_JOBS:-$(nproc)}" --reductions 40 \
  --keep "$(dirname "$1")/../found_seeds"
