#!/usr/bin/env bash
# Builds the C++ core with address and undefined-behaviour sanitizers and runs its tests with it.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
.venv/bin/pip install --quiet --no-build-isolation --no-deps --target "$build" \
  --config-settings=cmake.define.MOESAIC_SANITIZE=ON \
  --config-settings=build-dir="$build/build" .
library() { "${CXX:-c++}" -print-file-name="$1"; }
# The C++ library goes with it: the sanitizer must find where exceptions are thrown. Leaks are not
# looked for: Python's own allocations at exit are not ours to judge. -S keeps the editable install
# out, which would bring the plain core.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
LD_PRELOAD="$(library libasan.so) $(library libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
  PYTHONPATH="$build:$site" .venv/bin/python -S -c '
import sys, moesaic._core, pytest
assert moesaic._core.__file__.startswith(sys.argv[1]), moesaic._core.__file__
sys.exit(pytest.main(["-p", "no:cacheprovider", "-m", "not slow", "tests/core",
                      "tests/simulator/test_pim_commands.py"]))' "$build"
