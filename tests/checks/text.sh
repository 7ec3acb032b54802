#!/bin/bash
# Lengths and leftovers: no marker of unfinished work, no function over 60 lines, no file over 600, no line over 120
# columns, file heads of at most 15 lines, external names.
. "$(dirname "$0")/lib.sh"

marks='TO''DO|FIX''ME|XX''X|HA''CK'
grep -nwE "$marks" $(c_files) $(find . -path './build*' -prune -o -path ./.git -prune -o \
	\( -name '*.sh' -o -name '*.md' -o -name '*.py' -o -name 'meson.build' -o -name Makefile \) -print) >"$work/log"
[ ! -s "$work/log" ]
result $? "no marker of unfinished work" "$work/log"

wc -l $(c_files) | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines"}' >"$work/log"
[ ! -s "$work/log" ]
result $? "no file over 600 lines" "$work/log"

# A function's body runs from a brace in the first column to its closing one.
awk 'FNR == 1 { start = 0 }
	/^[A-Za-z_].*\(/ { name = $0 }
	/^\{/ { start = FNR }
	/^\}/ { if (start && FNR - start - 1 > 60) print FILENAME ":" start ": " FNR - start - 1 " lines: " name; start = 0 }' \
	$(c_files | grep '\.c$') >"$work/log"
[ ! -s "$work/log" ]
result $? "no function over 60 lines" "$work/log"

awk '{ line = $0; gsub(/\t/, "        ", line); if (length(line) > 120) print FILENAME ":" FNR }' $(c_files) >"$work/log"
[ ! -s "$work/log" ]
result $? "no line over 120 columns" "$work/log"

awk 'FNR == 1 { in_head = /^\/\*/ } in_head && /\*\// { if (FNR > 15) print FILENAME ": " FNR " lines"; in_head = 0 }' \
	$(c_files | grep -v '^include/') >"$work/log"
[ ! -s "$work/log" ]
result $? "file heads of at most 15 lines" "$work/log"

grep -nE '[[:space:]]+$' $(c_files) >"$work/log"
[ ! -s "$work/log" ]
result $? "no white space at line ends" "$work/log"
checks_done
