#!/bin/bash
# The documents agree with the code: lock order, links, examples of the README that can be checked.
. "$(dirname "$0")/lib.sh"

sed -n '/^enum qr_lock_rank/,/^}/p' core/sync/lock.h | grep -oE '^[[:space:]]+QR_RANK_[A-Z_]+' | tr -d '[:space:]' |
	sed 's/QR_RANK/\nQR_RANK/g' | grep . >"$work/code"
grep -oE '^\| `QR_RANK_[A-Z_]+' docs/locking.md | grep -oE 'QR_RANK_[A-Z_]+' >"$work/doc"
diff "$work/code" "$work/doc" >"$work/log" 2>&1
result $? "docs/locking.md has the lock order of core/sync/lock.h" "$work/log"

# Relative links lead somewhere.
find . -path './build*' -prune -o -path ./.git -prune -o -name '*.md' -print | while read -r f; do
	grep -oE '\]\([^)#]+' "$f" | sed 's/^](//' | grep -vE '^[a-z]+:' | while read -r link; do
		[ -e "$(dirname "$f")/$link" ] || echo "$f: $link"
	done
done >"$work/log"
[ ! -s "$work/log" ]
result $? "links between documents lead somewhere" "$work/log"

# Tables and what stands between fences are as wide as they are.
find . -path './build*' -prune -o -path ./.git -prune -o -name '*.md' -print | while read -r f; do
	awk -v name="$f" '/^```/ { is_fenced = !is_fenced } !is_fenced && !/^\|/ && length($0) > 120 { print name ":" NR }' "$f"
done >"$work/log"
[ ! -s "$work/log" ]
result $? "no line of a document over 120 columns" "$work/log"

for target in $(grep -ohE '`make [a-z-]+`' README.md CONTRIBUTING.md | tr -d '`' | cut -d' ' -f2 | sort -u); do
	grep -qE "^$target:" Makefile || echo "make $target"
done >"$work/log"
[ ! -s "$work/log" ]
result $? "the make targets that documents name exist" "$work/log"

if ls packaging/man/*.1 >/dev/null 2>&1 && has man; then
	for page in packaging/man/*.1; do
		man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null | sed "s|^|$page: |"
	done >"$work/log"
	[ ! -s "$work/log" ]
	result $? "manual pages format without a warning" "$work/log"
else
	skip "manual pages format without a warning" "no man"
fi
checks_done
