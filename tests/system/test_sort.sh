#!/bin/bash
# sort of a large text with two threads in half of its memory writes the same bytes. Lines of about 3600 bytes: with
# short ones every step of the last merges touches another page, and any way of paging needs minutes.
. "$(dirname "$0")/lib.sh"
needs_quire
needs sort

mib=$(scaled 512)
"$build/bench/gendata" "$mib" 7 600 >"$work/text" || skip_all "no room for $mib MiB of text"
mkdir "$work/tmp"
sort_it="sort -S ${mib}M --parallel=2 -T $work/tmp $work/text"
native sort 120 bash -c "$sort_it | b2sum"
note "native: $(peak_mib "$work/sort.native.rss") MiB, $(cut -d' ' -f3 "$work/sort.native.rss") ms"
ram=$((mib / 2 < 24 ? 24 : mib / 2))
budgeted sort 240 "$ram" bash -c "$sort_it | b2sum"
is "$(cat "$work/sort.out")" "$(cat "$work/sort.native.out")" "sort writes what it writes without quire"
finish
