#!/usr/bin/env bash
# Makes .venv complete: Debian packages, Python, the pinned wheels, this package itself.
# Called by every make target; returns at once when nothing changed.
#   PYTHON       interpreter to use instead of searching for one
#   TORCH_INDEX  package index to take torch from, e.g. PyTorch's CPU index: saves gigabytes of CUDA
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

suits() { # interpreter is a Python the lock is made for
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

has_underlay() { # a sourced ROS 2 that this interpreter can import, outside any venv
  [ -n "${AMENT_PREFIX_PATH:-}" ] &&
    "$1" -c 'import sys, rclpy; sys.exit(sys.prefix != sys.base_prefix)' 2>/dev/null
}

can_install() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }

apt_install() { # 0 if the packages are there afterwards; else says what to run
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if can_install; then
    say "installing $* with apt-get"
    if "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
    then return 0; fi
  fi
  say "missing: $*; please run: sudo apt-get install $*" >&2
  return 1
}

choose_python() {
  if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11, 3.12, 3.13 or 3.14"
    echo "$PYTHON"
    return
  fi
  local name
  if [ -n "${AMENT_PREFIX_PATH:-}" ] && suits python3 && has_underlay python3; then echo python3; return; fi
  for name in python3.11 python3.12 python3.13 python3.14 python3; do
    if suits "$name"; then echo "$name"; return; fi
  done
  return 1
}

if ! python=$(choose_python); then
  [ -z "${PYTHON:-}" ] || exit 1
  # Ubuntu 22.04's own Python is 3.10, but it has 3.11 beside it; elsewhere python3 is recent enough.
  wanted=python3
  [ -z "$(apt-cache madison python3.11 2>/dev/null)" ] || wanted=python3.11
  apt_install "$wanted" "$wanted-venv" >&2 || fail "no Python 3.11 to 3.14 found; or name one: make PYTHON=/path/to/python3.12"
  python=$(choose_python) || fail "no Python 3.11 to 3.14 found, even after installing $wanted"
fi
python=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')

ros=wheels
if has_underlay "$python"; then ros="underlay ${ROS_DISTRO:-unknown}"; fi

base="$("$python" -c 'import sys; print(*sys.version_info[:3])') $python $ros $PWD"
stamp=$({ echo "$base"; cat requirements/* setup.py setup.cfg; } | sha256sum)
[ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || exit 0

exec 9<requirements # two make runs at once: the second waits, then finds everything done
flock 9
[ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || exit 0

if command -v dpkg-query >/dev/null; then
  missing=()
  # EGL and Mesa draw the cameras without a screen; libusb is for RealSense cameras.
  for package in libegl1 libgl1 libgl1-mesa-dri libopengl0 libusb-1.0-0; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}" ||
    say "going on without; the simulated cameras need them (il doctor tells)" >&2
fi

if [ "$(cat .venv/base 2>/dev/null)" != "$base" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    apt_install "$version-venv" || fail "$python cannot make virtual environments without $version-venv"
  fi
  say "making .venv with $python, ROS 2 from $ros"
  options=(--clear)
  [ "$ros" = wheels ] || options+=(--system-site-packages)
  "$python" -m venv "${options[@]}" .venv
  echo "$base" >.venv/base
fi

pip=(.venv/bin/python -m pip --disable-pip-version-check)
[ -t 1 ] || pip+=(--quiet)
files=(-r requirements/lock.txt)
[ "$ros" != wheels ] || files+=(-r requirements/ros.txt)
say "installing the pinned packages (about 1 GB, once)"
"${pip[@]}" install --use-pep517 --no-deps "${files[@]}"
"${pip[@]}" install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements/torch.txt -c requirements/lock.txt
"${pip[@]}" install --no-deps --no-build-isolation -e .
echo "$ros" >.venv/ros
echo "$stamp" >.venv/stamp
say "done"
