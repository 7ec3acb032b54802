# TAP output for the checks; sourced. Ends with `checks_done`.
set -u
root=${QR_SOURCE_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
nr_checks=0
nr_failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/quire-check.XXXXXX")
trap 'rm -rf "$work"' EXIT

# result STATUS NAME [FILE]: one check; on failure FILE is shown as comments.
result()
{
	nr_checks=$((nr_checks + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr_checks - $2"
	else
		nr_failed=$((nr_failed + 1))
		[ -n "${3:-}" ] && [ -s "$3" ] && sed 's/^/# /' "$3"
		echo "not ok $nr_checks - $2"
	fi
}

skip()
{
	nr_checks=$((nr_checks + 1))
	echo "ok $nr_checks - $1 # SKIP $2"
}

checks_done()
{
	echo "1..$nr_checks"
	[ "$nr_failed" -eq 0 ]
	exit
}

# All C files of the project, one per line.
c_files()
{
	find include core arch ports shim cli tests bench examples -name '*.[ch]' | sort
}

has()
{
	command -v "$1" >/dev/null 2>&1
}

warnings="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef"
core_includes="-Iinclude -Icore -Iarch/x86_64"
