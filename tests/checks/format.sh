#!/bin/bash
# All C code has the layout of .clang-format (`format.sh --fix` rewrites it), and its comments that of comments.awk,
# which is for what clang-format leaves as it is.
. "$(dirname "$0")/lib.sh"

tool=$(command -v clang-format-19 || command -v clang-format)
if [ "${1:-}" = --fix ]; then
	c_files | xargs "${tool:?clang-format is not installed}" -i
	exit
fi
c_files | xargs awk -f tests/checks/comments.awk >"$work/log" 2>&1 && [ ! -s "$work/log" ]
result $? "layout of comments" "$work/log"

if [ -z "$tool" ]; then
	skip "layout of all C files" "clang-format is not installed"
	checks_done
fi
for f in $(c_files); do
	"$tool" --dry-run -Werror "$f" >"$work/log" 2>&1 || { echo "$f"; sed -n '1,3p' "$work/log"; } >>"$work/all"
done
touch "$work/all"
[ ! -s "$work/all" ]
result $? "layout of all C files (tests/checks/format.sh --fix mends it)" "$work/all"
checks_done
