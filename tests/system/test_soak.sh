#!/bin/bash
# A minute of bench/soak.sh, in each way of delivery: no wrong byte, no hang, no growth.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3

for delivery in thread signal; do
	if [ $delivery = thread ] && grep -q '^limited *userfaultfd' "$work/doctor"; then
		note "no right to faults of the kernel: thread is left out"
		continue
	fi
	QR_RUN_FLAGS="--delivery $delivery" timeout 200 "$root/bench/soak.sh" --seconds "$(scaled 25)" \
		--mib "$(scaled 256)" --seed 7 "$build" >"$work/$delivery" 2>&1
	status=$?
	sed 's/^/# /' "$work/$delivery"
	is $status 0 "$delivery: every byte right, no hang, no growth"
done
finish
