#!/bin/bash
# Installs every Debian 12 package that building, testing and showing Steelyard needs; asks nothing, and is done in a
# blink when everything is there. Changes nothing else: services that packages would start are kept stopped.
#
#   sudo deploy/install-deps.sh [--browser]
#
# --browser: chromium, too, which only the long form of the system tests needs.
set -euo pipefail

wanted=(
  # build
  cmake ninja-build g++ gcc libc6-dev ccache pkg-config git ca-certificates
  libdpdk-dev dpdk dpdk-dev libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev node-llhttp
  libssl-dev libjemalloc-dev libbenchmark-dev libgtest-dev libgmock-dev libyaml-cpp-dev libspdlog-dev libfmt-dev
  libcli11-dev libexpected-dev libnl-route-3-dev zlib1g-dev
  # tests, checks and the demo
  nginx-light haproxy varnish nodejs nghttp2-client curl wrk iproute2 nftables ethtool iputils-ping python3 procps tcpdump
  clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev valgrind
)
if [[ ${1:-} == --browser ]]; then
  wanted+=(chromium)
  shift
fi
if [[ $# -gt 0 ]]; then
  echo "usage: $0 [--browser]" >&2
  exit 2
fi

installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

missing=()
for package in "${wanted[@]}"; do
  installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "install-deps: all ${#wanted[@]} packages are there"
  exit 0
fi
if [[ $EUID -ne 0 ]]; then
  echo "install-deps: these packages are missing: ${missing[*]}; run this script as root" >&2
  exit 1
fi

# Maintainer scripts ask this file whether they may start a service; 101 means no.
policy=/usr/sbin/policy-rc.d
own_policy=false
# Installed for tests and demo, which start their own; varnish is there for varnishtest.
services=(nginx haproxy varnish varnishncsa)
kept=() # those that were here before: their owner's
for service in "${services[@]}"; do
  if [[ -e /lib/systemd/system/$service.service ]]; then
    kept+=("$service")
  fi
done
clean_up() {
  if $own_policy; then
    rm -f "$policy"
  fi
}
trap clean_up EXIT
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  own_policy=true
fi

echo "install-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# libboost1.81-dev and libboost1.74-dev exclude each other; apt replaces the older one where it is installed.
apt-get install -q -y --no-install-recommends "${missing[@]}"
if command -v systemctl >/dev/null; then
  for service in "${services[@]}"; do
    if [[ " ${kept[*]} " != *" $service "* ]]; then
      systemctl disable "$service" >/dev/null 2>&1 || true # it must not come up at the next boot
    fi
  done
fi
echo "install-deps: done"
