#!/usr/bin/env bash
# Builds the C++ core with address and undefined-behaviour sanitizers and runs its tests with it.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
.venv/bin/pip install --quiet --no-build-isolation --no-deps --target "$build" \
  --config-settings=cmake.define.MOESAIC_SANITIZE=ON \
  --config-settings=build-dir="$build/build" .
asan=$("${CXX:-c++}" -print-file-name=libasan.so)
# numpy's and Python's own allocations at exit are not ours to judge.
LD_PRELOAD="$asan" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$build" \
  .venv/bin/pytest -p no:cacheprovider tests/core
