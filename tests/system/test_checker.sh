#!/bin/bash
# Threads that check patterns on twice the budget, with forks; on the heap and on mmap, in each way of storing.
. "$(dirname "$0")/lib.sh"
needs_quire
checker=$build/tests/system/checker

mib=$(scaled 192)
ops=$(scaled 12000)
ram=$((mib / 2 < 24 ? 24 : mib / 2))
budgeted heap 90 "$ram" "$checker" --mib "$mib" --ops "$ops" --forks 1 --seed 11
budgeted mmap 90 "$ram" "$checker" --mib "$mib" --ops "$ops" --forks 2 --seed 12 --mmap
QR_RUN_FLAGS="--compress none"
budgeted file 90 "$ram" "$checker" --mib "$mib" --ops $((ops / 3)) --forks 1 --seed 13
QR_RUN_FLAGS="--compress zstd"
budgeted zstd 90 "$ram" "$checker" --mib $((mib / 2)) --ops $((ops / 2)) --forks 1 --seed 14 --mmap
QR_RUN_FLAGS=
# The kernel's passing failures of page moves, and a kernel that has no moves.
export QUIRE_INJECT=move=5
budgeted inject 90 "$ram" "$checker" --mib "$mib" --ops $((ops / 2)) --forks 1 --seed 15
export QUIRE_INJECT=nomove
budgeted nomove 90 "$ram" "$checker" --mib $((mib / 2)) --ops $((ops / 2)) --forks 1 --seed 16
unset QUIRE_INJECT
for name in heap mmap file zstd inject nomove; do
	grep -q 'all pages right' "$work/$name.out"
	ok $? "$name: every page is right" "$work/$name.out"
done
finish
