#!/bin/bash
# Everything that has to hold before a change lands: packages, build, formatting, headers that compile alone, the
# architecture's arrows, TCP's rules, unit tests, instruction counts, system tests, unit tests with AddressSanitizer and
# UndefinedBehaviorSanitizer, a short run of every fuzz target. Run as root (network namespaces).
#
#   sudo tests/run.sh [--preset release|debug|asan|tsan] [--unit-only] [--filter REGEX] [--no-asan] [--no-fuzz]
#                     [--fuzz-seconds N] [--sanitize all|strangers]
#
# --filter narrows the system tests. --sanitize strangers leaves out of the tests with sanitizers what only the
# administrator speaks to (the configuration and the admin socket are fuzzed with them all the same). The last line is
# "N passed, N failed": unit tests, system tests and checks together.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
unit_only=false
asan=true
fuzz=true
fuzz_seconds=30
sanitize=all
filter=
usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit "$1"
}
while [[ $# -gt 0 ]]; do
  case "$1" in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --filter) filter=${2:?--filter needs a regular expression}; shift ;;
    --fuzz-seconds) fuzz_seconds=${2:?--fuzz-seconds needs a number}; shift ;;
    --sanitize) sanitize=${2:?--sanitize needs all or strangers}; shift ;;
    --unit-only) unit_only=true ;;
    --no-asan) asan=false ;;
    --no-fuzz) fuzz=false ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
  esac
  shift
done
case "$preset" in
  release | debug) ;;
  # Sanitizers make everything slower; time limits in the tests stretch with this factor.
  asan | tsan)
    asan=false
    export STEELYARD_TEST_PATIENCE="${STEELYARD_TEST_PATIENCE:-4}"
    ;;
  *) usage 2 >&2 ;;
esac
if [[ $preset == tsan ]]; then
  unit_only=true # ThreadSanitizer and the mappings of a real data plane do not go together
fi
if ! $unit_only && [[ $EUID -ne 0 ]]; then
  echo "tests/run.sh: the system tests make network namespaces: run this as root, or with --unit-only" >&2
  exit 2
fi

# What the sanitizers' preset builds and runs; nothing named: everything.
case "$sanitize" in
  all) sanitized=() ;;
  strangers)
    sanitized=(packet_test service_test schedule_test neighbor_test nic_test l4_test tcp_test http_test worker_test
      healthcheck_test access_log_test)
    ;;
  *) usage 2 >&2 ;;
esac

results=$(mktemp -d)
ahead= # the process that works ahead
end() {
  if [[ -n $ahead ]]; then
    kill -- "-$ahead" 2>"$results/kill" || true
  fi
  rm -rf "$results"
}
trap end EXIT
passed=0
failed=0
failures=()

# check NAME COMMAND...: one check, counted like one test.
check() {
  local name=$1
  shift
  echo "== $name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$name")
  fi
}

# add NAME PASSED FAILED
add() {
  passed=$((passed + $2))
  failed=$((failed + $3))
  if [[ $3 -gt 0 ]]; then
    failures+=("$1")
  fi
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" ${1:+--target "$@"}
}

sources() {
  find bench control dataplane healthcheck tests \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -print0
}

formatted() {
  sources | xargs -0 -r clang-format-14 --dry-run --Werror
}

# Every gtest program writes its own count; one that crashed has no file, and ctest says so.
unit_tests() { # PRESET [PROGRAM...]
  echo "== unit tests ($1)"
  local counted which=()
  if [[ $# -gt 1 ]]; then
    which=(-R "^($(IFS='|' && echo "${*:2}"))\$")
  fi
  rm -rf "build/$1/test-results"
  GTEST_OUTPUT="json:$PWD/build/$1/test-results/" ctest --preset "$1" -j "$(nproc)" --output-junit "$results/$1.xml" \
    "${which[@]}" --no-tests=error || true # what failed is in its reports, and a missing one is a failure
  counted=$(python3 tests/count_results.py "$results/$1.xml" "build/$1/test-results") || counted="0 1"
  echo "unit tests ($1): ${counted% *} passed, ${counted#* } failed"
  # shellcheck disable=SC2086 # two numbers
  add "unit tests ($1)" $counted
}

# What comes after the system tests is built beside them: they wait most of the time. At idle priority, in a session of its
# own whose share of the processors is the least, so that they do not feel it.
work_ahead() {
  export -f build later
  export results asan fuzz
  # shellcheck disable=SC2016 # for the other shell
  setsid bash -c 'echo 19 >/proc/self/autogroup; chrt --idle --pid 0 $$; later "$@"' _ "${sanitized[@]}" \
    >"$results/ahead.log" 2>&1 &
  ahead=$!
}

later() { # [PROGRAM...]: those that are tested with sanitizers
  if $asan && build asan "$@" >"$results/asan.log" 2>&1; then
    touch "$results/asan.built"
  fi
  if $fuzz && build fuzz >"$results/fuzz.log" 2>&1; then
    touch "$results/fuzz.built"
  fi
}

# The report of what was done ahead: check_built PRESET
check_built() {
  cat "$results/$1.log"
  [[ -e $results/$1.built ]]
}

system_tests() {
  echo "== system tests"
  export STEELYARD="${STEELYARD:-$PWD/build/$preset/control/steelyard}"
  local code=0 counted
  tests/system/run.py --jobs "${STEELYARD_TEST_JOBS:-2}" ${filter:+--filter "$filter"} | tee "$results/system" || code=1
  counted=$(tail -n 1 "$results/system" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
  # A run that broke off, or that found no test, is a failure although it counts none.
  counted=${counted:-0 0}
  if [[ $code -ne 0 && $counted == *" 0" ]]; then
    counted="${counted%% *} 1"
  fi
  # shellcheck disable=SC2086
  add "system tests" $counted
}

# As many targets beside each other as there are processors.
fuzz_tests() {
  local program name
  local programs=()
  mapfile -t programs < <(find build/fuzz -type f -name 'fuzz_*' -perm -u+x | sort)
  export -f fuzz
  export results fuzz_seconds
  printf '%s\n' "${programs[@]}" | xargs -r -P "$(nproc)" -I '{}' bash -c 'fuzz {}'
  for program in "${programs[@]}"; do
    name=$(basename "$program")
    check "$name, $fuzz_seconds s" fuzz_passed "$name"
  done
}

fuzz() {
  local name corpus seeds=()
  name=$(basename "$1")
  corpus=$results/corpus-$name
  mkdir -p "$corpus"
  if [[ -d tests/fuzz/corpus/$name ]]; then
    seeds=("tests/fuzz/corpus/$name")
  fi
  if "$1" -max_total_time="$fuzz_seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=0 -verbosity=0 \
    -artifact_prefix="build/fuzz/" "$corpus" "${seeds[@]}" >"$results/$name.log" 2>&1; then
    touch "$results/$name.passed"
  fi
}

fuzz_passed() {
  cat "$results/$1.log"
  [[ -e $results/$1.passed ]]
}

summary() {
  local name
  for name in "${failures[@]}"; do
    echo "failed: $name"
  done
  echo "$passed passed, $failed failed"
}

if [[ $EUID -eq 0 ]]; then
  browser=()
  if [[ ${STEELYARD_TEST_SCALE:-1} == 1 ]] && ! $unit_only; then
    browser=(--browser)
  fi
  deploy/install-deps.sh "${browser[@]}"
fi
check "build ($preset)" build "$preset"
if [[ $failed -gt 0 ]]; then
  summary
  exit 1
fi
check "clang-format" formatted
check "headers compile alone" cmake --build --preset "$preset" --target headers_compile_alone
check "tests of the architecture check" python3 tests/test_check_architecture.py
check "architecture" python3 tests/check_architecture.py
check "tests of the check of TCP's rules" python3 tests/test_check_tcp_rules.py
check "TCP's rules" python3 tests/check_tcp_rules.py
unit_tests "$preset"
if $unit_only; then
  summary
  exit $((failed > 0))
fi
if [[ $preset == release ]]; then
  check "instruction counts" bench/callgrind.sh
fi
work_ahead
system_tests
wait "$ahead" || true # what it has built says so
ahead=
if $asan; then
  check "build (asan)" check_built asan
  unit_tests asan "${sanitized[@]}"
fi
if $fuzz; then
  check "build (fuzz)" check_built fuzz
  fuzz_tests
fi
summary
exit $((failed > 0))
