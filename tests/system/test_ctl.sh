#!/bin/bash
# The budget of a run in progress: it grows and shrinks, the run obeys, and what cannot work is refused.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3

cat >"$work/hold.py" <<'PYTHON'
import os, random, sys, time
# Fills MiB in each of two processes, and looks at pages at random until the file is gone.
mib, name = int(sys.argv[1]), sys.argv[2]
child = os.fork()
data = bytearray(mib << 20)
for at in range(0, len(data), 4096):
    data[at] = (at >> 12) % 251
open("%s.%d" % (name, child == 0), "w").close()
while os.path.exists(name):
    for i in range(200):
        at = random.randrange(len(data) >> 12) << 12
        if data[at] != (at >> 12) % 251:
            os._exit(3)
    time.sleep(0.001)
sys.exit(child and os.waitpid(child, 0)[1] >> 8)
PYTHON

# within MIB: the processes have no more than that together, as the kernel counts, and 2 MiB
within()
{
	local pid sum=0 kib
	for pid in $("$QUIRE" stat $run --json | python3 -c 'import json, sys
for process in json.load(sys.stdin)["processes"]: print(process["pid"])'); do
		kib=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status" 2>/dev/null)
		sum=$((sum + ${kib:-0}))
	done
	note "the processes have $((sum / 1024)) MiB"
	[ "$sum" -le $((($1 + 2) * 1024)) ]
	ok $? "the kernel counts no more than $1 MiB"
}

# changes PID MIB: to that budget
changes()
{
	timeout 60 "$QUIRE" ctl "$1" --ram "$2M" --wait=50 >"$work/out" 2>"$work/err" </dev/null
	is "$?-$(grep -c "^budget $2.0 MiB, was" "$work/out")" 0-1 "a budget of $2 MiB" || cat "$work/out" "$work/err"
	is "$("$QUIRE" stat $run --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["totals"]["budget_bytes"] >> 20)')" "$2" "stat shows it"
}

# refused STATUS PATTERN NAME ARGUMENT...
refused()
{
	local wanted=$1 pattern=$2 name=$3 status
	shift 3
	timeout 20 "$QUIRE" ctl "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq "$wanted" ] && [ ! -s "$work/out" ] && grep -qE -- "^quire: ctl: .*$pattern" "$work/err"
	ok $? "$name is refused" "$work/err"
}

touch "$work/held"
"$QUIRE" run -q --ram 96M --swap "$swap" --stats-json "$work/stats.json" -- \
	python3 "$work/hold.py" 100 "$work/held" >"$work/run.out" 2>&1 &
run=$!
for ((i = 0; i < 600; i++)); do
	[ -e "$work/held.0" ] && [ -e "$work/held.1" ] && break
	sleep 0.1
done
[ -e "$work/held.0" ] && [ -e "$work/held.1" ]
ok $? "both processes fill their memory" "$work/run.out"
child=$(cat "/proc/$run/task/$run/children")
child=${child%% *}

within 96
changes $run 64
within 64
changes "$child" 288
for ((i = 0; i < 200; i++)); do
	used=$("$QUIRE" stat $run --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["totals"]["used_bytes"] >> 20)')
	[ "$used" -gt 128 ] && break
	sleep 0.1
done
[ "$used" -gt 128 ]
ok $? "the run uses more ($used MiB) than it had been started with"
within 288
changes $run 48
within 48

budget_before=$("$QUIRE" stat $run | grep '^budget' | cut -d, -f1)
refused 1 'is below the [0-9.]+ MiB that .* 2 processes need .* at least|is below the [0-9.]+ MiB that .*2 processes' \
	"less than the processes need" $run --ram 9M
refused 1 'more than the .* can grow to' "more than there is" $run --ram 1P
is "$("$QUIRE" stat $run | grep '^budget' | cut -d, -f1)" "$budget_before" "what is refused changes nothing"
refused 125 'the least is 8 MiB' "less than any run needs" $run --ram 7M
refused 125 'is not a size' "a size that is none" $run --ram much
refused 125 'which process' "no process" --ram 64M
refused 125 'what is to change' "no change" $run
refused 125 'is too much' "too many words" $run 12 --ram 64M
refused 125 'unknown option' "an unknown option" $run --frob
refused 125 'not a number of seconds' "a wait that is none" $run --ram 64M --wait=soon
refused 125 'not a process number' "a process that is a word" abc --ram 64M
refused 1 'no process 4194304' "a process that is nowhere" 4194304 --ram 64M
refused 1 'does not run under quire' "a process outside" $$ --ram 64M

# A process that is stopped gives nothing back until it goes on.
changes $run 128
for ((i = 0; i < 100; i++)); do
	[ "$(awk '/^VmRSS/ {print $2}' "/proc/$child/status")" -gt 40000 ] && break
	sleep 0.1
done
kill -STOP "$child"
refused 1 "process $child .*is stopped" "a wait for a stopped process" $run --ram 40M --wait=1
kill -CONT "$child"
changes $run 40
within 40

rm -f "$work/held"
wait $run
ok $? "both find every page as they left it" "$work/run.out"
finish
