#!/usr/bin/env bash
# Makes .venv from uv.lock with the machine's own Python. $1: the cache folder. uv is taken from PATH, else installed there.
set -euo pipefail
cache=$1

python=""
for found in python3.11 python3.12 python3; do
  if command -v "$found" >/dev/null && "$found" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
    python=$(command -v "$found")
    break
  fi
done
[ -n "$python" ] || { echo "error: Python 3.11 or 3.12 is not on PATH: install it and run this again"; exit 1; }

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  uv=$cache/uv/bin/uv
  if ! [ -x "$uv" ]; then
    echo "» installing uv into the cache"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
      if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
        echo "» installing Debian's python3-venv"
        apt-get -qq -o DPkg::Lock::Timeout=300 update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -y install python3-venv >/dev/null
      else
        echo "error: $python has no venv module: install python3-venv, or uv (https://docs.astral.sh/uv/)"
        exit 1
      fi
    fi
    "$python" -m venv --clear "$cache/uv"
    "$cache/uv/bin/pip" --quiet install uv
  fi
fi
"$uv" sync --quiet --locked --all-groups --python "$python" --no-python-downloads
