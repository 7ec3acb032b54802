#!/bin/bash
# Four times the budget, most of it read-only or without rights: every byte stays, every forbidden access traps, with
# each delivery, and with the kernel's failures.
. "$(dirname "$0")/lib.sh"
needs_quire
protect=$build/tests/system/protect

mib=$(scaled 96)
ram=$((mib / 4 < 12 ? 12 : mib / 4))
for delivery in thread signal; do
	QR_RUN_FLAGS="--delivery $delivery"
	budgeted "$delivery" 90 "$ram" "$protect" "$mib" 1
	# Pages that may not be written and that a child shares.
	budgeted "shared-$delivery" 90 "$ram" "$protect" "$mib" 0
done
QR_RUN_FLAGS=
# Ranges that are open for so long that a write would get through, if it could.
export QUIRE_INJECT=open-us=200
budgeted open 90 "$ram" "$protect" "$mib" 1
# Moves that fail for passing reasons, guards that cannot be lifted, and a kernel without moves.
export QUIRE_INJECT=move=5,guard=5
budgeted inject 90 "$ram" "$protect" "$mib" 1
QR_RUN_FLAGS="--delivery signal"
budgeted inject-signal 90 "$ram" "$protect" "$mib" 1
QR_RUN_FLAGS=
export QUIRE_INJECT=nomove
budgeted nomove 90 "$ram" "$protect" "$mib" 1
unset QUIRE_INJECT
for name in thread shared-thread signal shared-signal open inject inject-signal nomove; do
	grep -q 'all right' "$work/$name.out"
	ok $? "$name: every byte is right, every trap was met" "$work/$name.out"
done
finish
