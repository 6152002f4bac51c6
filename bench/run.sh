#!/bin/bash
# Measures. These figures count as ratios within one run; hardware, load and commit are printed beside them.
#
#   bench/run.sh micro [--filter REGEX] [--cpu N] [--build FOLDER]
#       builds the preset release and runs every micro-benchmark; a table with the goals at the end
#   sudo bench/run.sh l4 [--rounds N] [--seconds N] [--flows N] [--build FOLDER]
#       64-byte packets from testpmd on CPU 0 over memif to Steelyard on CPU 1 and back, in turns with testpmd macswap on
#       the same device. `fullnat`, UDP, one flow for each of N virtual addresses (testpmd varies the destination only)
#   sudo bench/run.sh tcp [--rounds N] [--build FOLDER]
#       goodput of the userspace TCP over a wire of 10 ms each way that loses 1%, in turns with the kernel's over the same
#   sudo bench/run.sh http [--rounds N] [--seconds N] [--build FOLDER]
#       wrk through Steelyard, HAProxy (package haproxy) and nginx in turns, on connections that stay and on new ones;
#       then what 10,000 readers that do not read cost others
#
# --build takes programs that are there instead of building.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  sed -n '2,16s/^# \{0,1\}//p' "$0"
  exit "$1"
}
what=${1:-}
[[ $# -gt 0 ]] && shift
build=
filter=.
cpu=1
rounds=3
seconds=5
flows=1024
while [[ $# -gt 0 ]]; do
  case "$1" in
    --filter) filter=${2:?--filter needs a regular expression}; shift ;;
    --cpu) cpu=${2:?--cpu needs a number}; shift ;;
    --build) build=${2:?--build needs a folder}; shift ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --flows) flows=${2:?--flows needs a number}; shift ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
  esac
  shift
done

surroundings() {
  local governor=/sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor
  echo "CPU:       $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs"
  echo "governor:  $(cat "$governor" 2>/dev/null || echo unknown)"
  echo "load:      $(cut -d' ' -f1-3 /proc/loadavg)"
  echo "hugepages: $(awk '/^HugePages_Free/ { free = $2 } /^HugePages_Total/ { all = $2 } /^Hugepagesize/ { size = $2 }
    END { printf "%d of %d free, %d KiB each", free, all, size }' /proc/meminfo)"
  echo "commit:    $(git rev-parse --short HEAD 2>/dev/null || echo none)$(
    [[ -z $(git status --porcelain 2>/dev/null | head -n 1) ]] || echo ', with changes')"
}

build_release() {
  if [[ -z $build ]]; then
    build=build/release
    cmake --preset release >/dev/null
    cmake --build --preset release --target "$@"
  fi
}

micro() {
  build_release l4_benchmark tcp_benchmark schedule_benchmark healthcheck_benchmark access_control_benchmark \
    forwarding_rules_benchmark http_parse_benchmark http_benchmark http_path_benchmark cookie_benchmark gzip_benchmark access_log_benchmark
  surroundings
  local tables=() hugepages
  hugepages=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
  one() { # LABEL PROGRAM ARGUMENTS...
    local label=$1 program=$2
    shift 2
    if taskset -c "$cpu" "$build/bench/$program" "$@" --benchmark_out="$folder/$program-$label.json" \
      --benchmark_out_format=json >"$folder/log" 2>&1; then :; else
      tail -n 5 "$folder/log" >&2
      return 1
    fi
    # Nothing is written when the filter leaves nothing.
    if [[ -s $folder/$program-$label.json ]]; then
      tables+=("$label=$folder/$program-$label.json")
    fi
  }
  # The largest table takes 1.6 GB.
  if [[ $hugepages -ge 1100 ]]; then
    one "2 MiB" l4_benchmark --pages=2m --benchmark_filter="$filter"
  else
    echo "no 1,100 free hugepages: only 4 KiB pages are measured (echo 1200 > /proc/sys/vm/nr_hugepages)"
  fi
  one "4 KiB" l4_benchmark --pages=4k --benchmark_filter="$filter"
  one "" tcp_benchmark --benchmark_filter="$filter"
  one "" schedule_benchmark --benchmark_filter="$filter"
  one "" healthcheck_benchmark --benchmark_filter="$filter"
  one "" access_control_benchmark --benchmark_filter="$filter"
  one "" forwarding_rules_benchmark --benchmark_filter="$filter"
  one "" http_parse_benchmark --benchmark_filter="$filter"
  one "" http_benchmark --benchmark_filter="$filter"
  one "" http_path_benchmark --benchmark_filter="$filter"
  one "" cookie_benchmark --benchmark_filter="$filter"
  one "" gzip_benchmark --benchmark_filter="$filter"
  one "" access_log_benchmark --benchmark_filter="$filter"
  bench/table.py "${tables[@]}"
}

folder=$(mktemp -d)
started=()
clean_up() {
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap clean_up EXIT

case "$what" in
  micro) micro ;;
  l4)
    # shellcheck source=bench/l4.sh
    source bench/l4.sh
    l4
    ;;
  tcp)
    build_release steelyard_tcp_services
    surroundings
    STEELYARD_TCP_SERVICES=$build/tests/services/steelyard_tcp_services bench/tcp_goodput.py --rounds "$rounds"
    ;;
  http)
    build_release steelyard
    surroundings
    export STEELYARD=$PWD/$build/control/steelyard
    bench/http_compare.py --rounds "$rounds" --seconds "$seconds"
    echo "a connection for each request:"
    bench/http_compare.py --rounds "$rounds" --seconds "$seconds" --new
    bench/http_stalled.py
    ;;
  --help) usage 0 ;;
  *) usage 2 >&2 ;;
esac
