#!/bin/bash
# Shows Steelyard at work on this machine, in network namespaces of its own: installs what is missing, builds, starts three
# nginx servers and a UDP echo server behind Steelyard, shows step by step what it does, and removes everything.
#
#   sudo deploy/demo.sh            the show; ends with 0 only if every step held
#   sudo deploy/demo.sh --keep     the same, but leaves everything running and prints what to type
#   sudo deploy/demo.sh --remove   ends what --keep has left
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  "" | --keep) ;;
  --remove) exec /usr/bin/python3 deploy/demo/demo.py --remove ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
if [[ $EUID -ne 0 ]]; then
  echo "deploy/demo.sh: network namespaces need root: sudo deploy/demo.sh" >&2
  exit 2
fi

deploy/install-deps.sh
cmake --preset release
cmake --build --preset release --target steelyard
exec /usr/bin/python3 deploy/demo/demo.py "$@"
