#!/bin/bash
# clang-tidy with the checks of .clang-tidy on the product's sources.
. "$(dirname "$0")/lib.sh"
build=${QR_BUILD_ROOT:-$root/build}

if ! has clang-tidy-19; then
	skip "clang-tidy" "clang-tidy-19 is not installed"
	checks_done
fi
if [ ! -f "$build/compile_commands.json" ]; then
	skip "clang-tidy" "no compile_commands.json in $build"
	checks_done
fi
find core ports/process shim cli -name '*.c' | sort |
	xargs -P 2 -n 8 clang-tidy-19 --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option >"$work/out" 2>/dev/null
status=$?
grep -E '(error|warning):' "$work/out" | sort -u >"$work/log"
[ $status -eq 0 ] && [ ! -s "$work/log" ]
result $? "clang-tidy finds nothing" "$work/log"
checks_done
