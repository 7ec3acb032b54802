#!/bin/bash
# malloc, calloc, realloc and free of blocks of all sizes, by threads, at half of what they hold.
. "$(dirname "$0")/lib.sh"
needs_quire
churn=$build/tests/system/churn

mib=$(scaled 160)
ops=$(scaled 40000)
ram=$((mib * 6 / 10 < 24 ? 24 : mib * 6 / 10))
budgeted small 90 "$ram" "$churn" --mib "$mib" --ops "$ops" --seed 21 --max 65536
budgeted large 90 "$ram" "$churn" --mib "$mib" --ops "$ops" --seed 22 --threads 4
for name in small large; do
	grep -q 'all blocks right' "$work/$name.out"
	ok $? "$name: every block is right" "$work/$name.out"
done
finish
