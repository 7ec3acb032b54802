# TAP output for the lab's tests; sourced. Ends with `tests_done`.
set -u
cell=${QR_BUILD_ROOT:?}/quire-lab-cell
nr_tests=0
nr_failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/quire-lab.XXXXXX")
trap 'rm -rf "$work"' EXIT

# result STATUS NAME: one test; on failure the last outputs are shown as comments.
result()
{
	nr_tests=$((nr_tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr_tests - $2"
		return
	fi
	nr_failed=$((nr_failed + 1))
	cut -c1-300 "$work/out" "$work/err" 2>/dev/null | sed 's/^/# /'
	echo "not ok $nr_tests - $2"
}

# run ARGUMENTS...: a cell; its exit status is in $status.
run()
{
	timeout 60 "$cell" run "$@" >"$work/out" 2>"$work/err"
	status=$?
}

# field NAME: of the last result.
field()
{
	sed -nE "s/.*\"$1\": (\"([^\"]*)\"|([0-9.]+)).*/\2\3/p" "$work/out" | head -1
}

tests_done()
{
	echo "1..$nr_tests"
	[ "$nr_failed" -eq 0 ]
	exit
}
