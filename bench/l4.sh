# Part of run.sh (`l4`): Steelyard and testpmd's macswap in turns behind one memif device, fed by testpmd's flowgen. Uses
# run.sh's variables; every process it starts is in `started`.
#
# flowgen answers no ARP, so Steelyard's question for a server's address is answered in an interlude by `icmpecho`.
# shellcheck shell=bash disable=SC2154

# flowgen sends to this address, whatever --eth-peer says.
balancer_mac=00:01:02:03:04:01

# VIP number i as testpmd's flowgen counts: 10.253.0.0 + i.
write_l4_config() {
  cat <<CONFIG
workers: {count: 1, cpus: [1], idle: busy}
memory: {flows_ipv4: 65536, flows_ipv6: 1024, packet_buffers: 16384}
ports:
  - name: wan
    device: "net_memif0,role=client,id=0,socket=$folder/memif.sock,socket-abstract=no,mac=$balancer_mac,rsize=12"
    addresses: [10.0.0.2/16]
    exception: {enabled: false}
local_addresses: [10.0.0.10, 10.0.0.11, 10.0.0.12, 10.0.0.13, 10.0.0.14, 10.0.0.15, 10.0.0.16, 10.0.0.17]
routes: [{to: 10.254.0.0/16, via: 10.0.1.1}]
server_groups:
  - name: servers
    servers:
CONFIG
  local number
  for number in {1..8}; do
    echo "      - {address: 10.0.1.$number, port: 1001}"
  done
  echo "load_balancers:"
  for ((number = 0; number < flows; ++number)); do
    echo "  - name: vip-$number"
    echo "    address: 10.253.$((number / 256)).$((number % 256))"
    echo "    listeners:"
    echo "      - {protocol: udp, port: 1001, mode: fullnat, server_group: servers, health_check: {enabled: false}}"
  done
}

# Waits for a pattern in a file, at most so many seconds.
wait_for() { # PATTERN FILE SECONDS
  local tenths=$(($3 * 10))
  until grep -q "$1" "$2" 2>/dev/null; do
    tenths=$((tenths - 1))
    if [[ $tenths -le 0 ]]; then
      echo "run.sh: waited $3 s for '$1' in vain; the end of what was said:" >&2
      tail -n 15 "$2" >&2
      return 1
    fi
    sleep 0.1
  done
}

say() { echo "$*" >&"$generator_in"; }

# Receive and transmit rates of the generator's port over the last interval, packets a second.
measure() {
  local from
  say "show port stats 0"
  sleep "$seconds"
  from=$(wc -c <"$folder/generator")
  say "show port stats 0"
  sleep 0.5
  tail -c "+$((from + 1))" "$folder/generator" | awk '/Rx-pps:/ { rx = $2 } /Tx-pps:/ { tx = $2 } END { print rx + 0, tx + 0 }'
}

start_generator() {
  rm -f "$folder/in" "$folder/memif.sock"
  mkfifo "$folder/in"
  stdbuf -oL dpdk-testpmd --lcores '0@0,1@0' --main-lcore=0 --in-memory --no-pci --no-telemetry --file-prefix=bench-generator \
    --vdev "net_memif0,role=server,id=0,socket=$folder/memif.sock,socket-abstract=no,rsize=12" -- \
    -i --nb-cores=1 --total-num-mbufs=32768 --txpkts=64 --flowgen-flows="$flows" \
    --no-lsc-interrupt <"$folder/in" >"$folder/generator" 2>&1 &
  generator=$!
  started+=("$generator")
  exec {generator_in}>"$folder/in"
  wait_for 'testpmd>' "$folder/generator" 20
}

stop_process() { # PID
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# One side on CPU 1 between a fresh generator's start and end; prints "rx tx".
round() { # steelyard|macswap
  start_generator >&2
  local side
  if [[ $1 == steelyard ]]; then
    "$build/control/steelyard" run -c "$folder/l4.yaml" --socket "$folder/admin.sock" --run-dir "$folder" \
      >"$folder/side" 2>&1 &
  else
    # Standard input stays open and empty: testpmd ends when it does.
    rm -f "$folder/silent"
    mkfifo "$folder/silent"
    dpdk-testpmd --lcores '0@0,1@1' --main-lcore=0 --in-memory --no-pci --no-telemetry \
      --file-prefix=bench-floor \
      --vdev "net_memif0,role=client,id=0,socket=$folder/memif.sock,socket-abstract=no,mac=$balancer_mac,rsize=12" -- \
      --nb-cores=1 --total-num-mbufs=32768 --forward-mode=macswap --auto-start --no-lsc-interrupt \
      0<>"$folder/silent" >"$folder/side" 2>&1 &
  fi
  side=$!
  started+=("$side")
  sleep 3
  if ! kill -0 "$side" 2>/dev/null; then
    tail -n 15 "$folder/side" >&2
    return 1
  fi
  say "set fwd flowgen"
  say "start"
  if [[ $1 == steelyard ]]; then
    # Every server's address is asked for with the first packets; unanswered questions are repeated for two seconds.
    sleep 0.3
    say "stop"
    say "set fwd icmpecho"
    say "start"
    sleep 1
    say "stop"
    say "set fwd flowgen"
    say "start"
  fi
  sleep 1
  measure
  if [[ $1 == steelyard ]]; then
    "$build/control/steelyard" stats --socket "$folder/admin.sock" >"$folder/stats" 2>&1 || true
  fi
  say "stop"
  say "quit"
  exec {generator_in}>&-
  stop_process "$side"
  stop_process "$generator"
}

median() { sort -n | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }

l4() {
  build_release steelyard
  surroundings
  write_l4_config >"$folder/l4.yaml"
  "$build/control/steelyard" check -c "$folder/l4.yaml" >"$folder/check" 2>&1 || { cat "$folder/check" >&2; return 1; }
  local round side rates rx tx
  printf '%-10s %6s %14s %14s\n' side round 'rx packets/s' 'tx packets/s'
  for ((round = 1; round <= rounds; ++round)); do
    for side in steelyard macswap; do
      round "$side" >"$folder/rates"
      read -r rx tx <"$folder/rates"
      printf '%-10s %6d %14d %14d%s\n' "$side" "$round" "$rx" "$tx" \
        "$([[ $((rx * 100)) -ge $((tx * 98)) ]] && echo '  generator-bound: a lower limit')"
      echo "$rx" >>"$folder/$side.rates"
    done
  done
  awk -v a="$(median <"$folder/steelyard.rates")" -v b="$(median <"$folder/macswap.rates")" -v flows="$flows" 'BEGIN {
    printf "medians: steelyard fullnat/udp/ipv4, %d flows: %.2f Mpps; testpmd macswap: %.2f Mpps; ratio %.2f\n",
      flows, a / 1e6, b / 1e6, (b > 0 ? a / b : 0) }'
  grep -iE 'drop|tx_ring|transmitted|received' "$folder/stats" | head -n 20 || true
}
