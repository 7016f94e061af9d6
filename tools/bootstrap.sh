#!/usr/bin/env bash
# Makes .venv from uv.lock with the machine's own Python. $1: the cache folder. uv is taken from PATH, else installed there.
set -euo pipefail
cache=$1
fits='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
export UV_PYTHON_DOWNLOADS=never

fail() { echo "error: $1" >&2; exit 1; }
debian() { [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; }
packages() {
  echo "» Installing Debian's $*"
  local options=(-qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  apt-get "${options[@]}" update || echo "» apt-get update: some lists could not be had"
  DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" -y --no-install-recommends install "$@" >/dev/null \
    || fail "apt-get install $*: failed; check the network and /etc/apt/sources.list"
}
find_python() {
  for found in python3 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/bin/python3.11; do
    # A pyenv shim is on PATH even where pyenv has no such version: ask it.
    if python=$("$found" -c "$fits" 2>/dev/null && "$found" -c 'import sys; print(sys.executable)' 2>/dev/null); then
      return
    fi
  done
  python=""
}

mkdir -p "$cache"
# One at a time; the lock goes with the process.
if command -v flock >/dev/null; then
  exec 9>"$cache/bootstrap.lock"
  flock 9
fi

find_python
if [ -z "$python" ] && debian && ! command -v python3 >/dev/null; then
  packages python3 python3-venv
  find_python
fi
[ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is not on PATH: install it and try again"

uv=$(command -v uv || true)
if [ -z "$uv" ] || ! "$uv" --version >/dev/null 2>&1; then
  uv=$cache/uv/bin/uv
  if ! "$uv" --version >/dev/null 2>&1; then
    echo "» Installing uv into the cache"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      debian || fail "$python has no venv module: install python3-venv, or uv (https://docs.astral.sh/uv/)"
      packages python3-venv
      "$python" -c 'import ensurepip, venv' 2>/dev/null || python=/usr/bin/python3
    fi
    "$python" -m venv --clear "$cache/uv" || fail "$python -m venv $cache/uv: failed; install uv by hand (https://docs.astral.sh/uv/)"
    "$cache/uv/bin/python" -m pip --quiet --disable-pip-version-check install uv \
      || fail "pip install uv: failed; check the network, or install uv by hand (https://docs.astral.sh/uv/)"
  fi
fi

# A .venv that works keeps its Python: another one first on PATH must not throw it away.
choice=()
.venv/bin/python -c "$fits" 2>/dev/null || { choice=(--python "$python"); echo "» Installing the locked Python packages into .venv"; }
"$uv" sync --quiet --locked --all-groups "${choice[@]}" \
  || fail "uv sync: failed; if pyproject.toml changed, run \`uv lock\`; else check the network"
