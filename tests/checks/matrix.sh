#!/bin/bash
# The jobs of `make check`, each in its own build folder under build-ci/; the last line counts all tests.
# usage: matrix.sh [checks] [release] [system] [clang] [asan] [tsan] [debug]     (default: all)
set -u
cd "$(dirname "$0")/../.." || exit 1

# ThreadSanitizer of older compilers cannot place its shadow where addresses are much randomised.
fixed_addresses=
setarch "$(uname -m)" -R true 2>/dev/null && fixed_addresses="setarch $(uname -m) -R"

jobs=${*:-checks release system clang debug asan tsan}
results=()
mkdir -p build-ci

# configure DIR FLAGS...: a build folder with warnings as errors; configured again, since source lists may change.
configure()
{
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson setup --reconfigure "$dir" --werror "$@" >"$dir.log" 2>&1
	else
		rm -rf "$dir"
		meson setup "$dir" --werror "$@" >"$dir.log" 2>&1
	fi || { tail -30 "$dir.log"; return 1; }
	ninja -C "$dir" --quiet >"$dir.log" 2>&1 || { grep -E 'error|warning|FAILED' "$dir.log" | head -30; return 1; }
}

# run NAME DIR MESON-TEST-FLAGS...: what failed is shown by the summary, from the logs.
run()
{
	local name=$1 dir=$2 started=$SECONDS prefix
	shift 2
	rm -f "$dir/meson-logs/$name".*
	case $name in tsan) prefix=$fixed_addresses ;; *) prefix= ;; esac
	$prefix meson test -C "$dir" --logbase "$name" --quiet "$@" >"$dir/$name.out" 2>&1 ||
		grep -E 'error|undefined reference|FAILED' "$dir/$name.out" | head -n 30
	results+=("$name=$dir/meson-logs/$name")
	echo "== $name: $((SECONDS - started)) s"
}

has_job()
{
	case " $jobs " in *" $1 "*) return 0 ;; esac
	return 1
}

# A job that cannot even build counts as one failure: its results file is missing.
job()
{
	local name=$1 dir=build-ci/$2 suites=$3
	shift 3
	has_job "$name" || return 0
	if configure "$dir" "$@"; then
		run "$name" "$dir" $suites
	else
		results+=("$name=$dir/failed-to-build")
	fi
}

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

job release gcc "--suite unit --suite shim --suite examples --suite lab"
job checks gcc "--suite checks"
job system gcc "--suite system --num-processes 1"
if command -v clang-19 >/dev/null; then
	CC=clang-19 job clang clang "--suite unit"
else
	echo "== clang: clang-19 is not installed, skipped"
fi
job debug debug "--suite unit --suite system-small --num-processes 2 --timeout-multiplier 3" -Ddebug_level=2
job asan asan "--suite unit --timeout-multiplier 4" -Db_sanitize=address,undefined -Ddebug_level=1
job tsan tsan "--suite unit --timeout-multiplier 4" -Db_sanitize=thread -Ddebug_level=1

python3 tests/checks/summary.py "${results[@]}"
