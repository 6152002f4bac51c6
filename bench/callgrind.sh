#!/bin/bash
# Counts the instructions of fixed workloads (instruction_count.cc) and compares them with bench/callgrind_baseline.txt:
# more than 3% above it fails and says what grew, by workload and by function. A change that is meant to cost more, or
# that costs less, stores the new counts with its commit.
#
#   bench/callgrind.sh [--build FOLDER] [--update]      FOLDER: a release build, default build/release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/release
update=false
limit_percent=3
packets=3200 # instruction_count.cc: packets_a_workload
baseline=bench/callgrind_baseline.txt
while [[ $# -gt 0 ]]; do
  case "$1" in
    --build) build=${2:?--build needs a folder}; shift ;;
    --update) update=true ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
program=$build/bench/instruction_count
if [[ ! -x $program ]]; then
  echo "callgrind.sh: $program is not there: build the preset release first (with benchmarks)" >&2
  exit 2
fi
setting() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
compiler="$("$(setting CMAKE_CXX_COMPILER)" -dumpfullversion -dumpversion | cut -d. -f1)"
compiler="$(basename "$(setting CMAKE_CXX_COMPILER)") $compiler $(setting CMAKE_BUILD_TYPE)"
compiler=${compiler/c++ /g++ }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file="$folder/out" "$program" >"$folder/log" 2>&1; then
  tail -n 20 "$folder/log" >&2
  exit 1
fi

# Lines "workload instructions-per-packet", in the order of the run.
counts() {
  local dump
  for dump in $(ls "$folder"/out.* | sort -t. -k3 -n); do
    awk -v packets="$packets" -v file="$dump" '
      /^desc: Trigger: Client Request: / { name = $NF }
      /^summary: |^totals: / { total = $2 }
      END { if (name != "" && total > 0) printf "%s %.1f %s\n", name, total / packets, file }' "$dump"
  done
}
counts >"$folder/counts"
if [[ ! -s $folder/counts ]]; then
  echo "callgrind.sh: valgrind counted nothing" >&2
  exit 1
fi

if $update; then
  {
    echo "# Instructions per packet (or pick), counted by bench/callgrind.sh; stored with bench/callgrind.sh --update."
    echo "compiler $compiler"
    awk '{ print $1, $2 }' "$folder/counts"
  } >"$baseline"
  cat "$baseline"
  exit 0
fi
stored=$(sed -n 's/^compiler //p' "$baseline")
if [[ $stored != "$compiler" ]]; then
  echo "callgrind.sh: not compared: the baseline is for $stored, this build is $compiler"
  exit 0
fi

failed=0
printf '%-28s %10s %10s %8s\n' workload baseline now change
while read -r name now dump; do
  before=$(awk -v name="$name" '$1 == name { print $2 }' "$baseline")
  if [[ -z $before ]]; then
    printf '%-28s %10s %10s   not in the baseline: run bench/callgrind.sh --update\n' "$name" - "$now"
    failed=1
    continue
  fi
  change=$(awk -v a="$before" -v b="$now" 'BEGIN { printf "%+.1f", (b / a - 1) * 100 }')
  printf '%-28s %10s %10s %7s%%\n' "$name" "$before" "$now" "$change"
  if awk -v change="$change" -v limit="$limit_percent" 'BEGIN { exit !(change > limit) }'; then
    failed=1
    echo "  $name grew by $change% (limit $limit_percent%); where its instructions are now:"
    callgrind_annotate --threshold=95 "$dump" 2>/dev/null | grep -E '^ *[0-9,]+ \(' | head -n 12 | sed 's/^/  /' || true
  fi
done <"$folder/counts"
while read -r name _; do
  if ! grep -q "^$name " "$folder/counts"; then
    echo "$name: in the baseline, but not counted"
    failed=1
  fi
done < <(grep -v -e '^#' -e '^compiler ' "$baseline")
exit "$failed"
