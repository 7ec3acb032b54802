#!/bin/bash
# Things go wrong from outside: kills at random moments, a full swap directory, a launcher that dies.
# Nothing is left behind, nobody hangs, and the message says what happened.
. "$(dirname "$0")/lib.sh"
needs_quire
checker=$build/tests/system/checker
RANDOM=4711
note "seed 4711"

# What belongs to this test is recognised by the path of its work folder in the environment.
export QR_TEST_MARK=$work
left_over()
{
	grep -lz "^QR_TEST_MARK=$work\$" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | while read -r pid; do
		[ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null |
			grep -E "quire|checker" && echo "pid $pid"
	done
}

# 1. SIGKILL of the program, of the launcher, or of both.
nr_kills=$(scaled 100)
for ((i = 0; i < nr_kills; i++)); do
	"$QUIRE" run --quiet --ram 16M --swap "$swap" -- "$checker" --mib 24 --threads 2 --ops 2000000 --forks 1 \
		>/dev/null 2>&1 &
	launcher=$!
	sleep "0.$(printf %03d $((RANDOM % 250)))"
	program=$(ps -o pid= --ppid $launcher | head -n 1)
	case $((i % 3)) in
	0) kill -9 $launcher ${program:-} ;;
	1) kill -9 ${program:-$launcher} ;;
	2) kill -9 $launcher; [ -n "$program" ] && kill -9 $program ;;
	esac 2>/dev/null
	wait $launcher 2>/dev/null
done
sleep 1
left_over >"$work/log"
[ ! -s "$work/log" ]
ok $? "after $nr_kills kills no process is left" "$work/log"
is "$(find "$swap" -mindepth 1 | wc -l)" 0 "after $nr_kills kills nothing is left in the swap directory"

# The checker's pages compress to a third at best: 256 MiB do not fit in 16 MiB of RAM and 16 MiB of swap.
# 2. A swap directory that fills up: an error that says so, not wrong bytes and not a hang.
small=$work/small
mkdir "$small"
if mount -t tmpfs -o size=16m quire-test "$small" 2>/dev/null; then
	undo+=("umount '$small'")
	timeout 60 "$QUIRE" run --ram 16M --swap "$small" -- "$checker" --mib 256 --threads 2 --ops 20000 --forks 0 \
		>"$work/full.out" 2>"$work/full.err"
	status=$?
	[ $status -ne 0 ] && [ $status -ne 124 ] && ! grep -q 'checker: .* page' "$work/full.out"
	ok $? "a full swap directory ends the program (status $status), without a wrong page" "$work/full.out"
	grep '^quire: ' "$work/full.err" | grep -v ' peak ' | grep -qi 'swap\|memory'
	ok $? "the message names the cause" "$work/full.err"
	timeout 60 "$QUIRE" run --ram 16M --swap "$small" -- "$checker" --mib 24 --threads 2 --ops 3000 --forks 0 \
		>"$work/fits.out" 2>"$work/fits.err"
	is $? 0 "what fits in the small swap directory runs" || tail -n 5 "$work/fits.err" | sed 's/^/# /'
	is "$(find "$small" -mindepth 1 | wc -l)" 0 "nothing is left in the small swap directory"
else
	note "no right to mount a small swap directory: that part is left out"
fi

# 3. No swap at all: what compresses runs, what does not ends with a message.
timeout 60 "$QUIRE" run --ram 16M --swap none -- "$checker" --mib 256 --threads 2 --ops 20000 --forks 0 \
	>"$work/none.out" 2>"$work/none.err"
status=$?
[ $status -ne 0 ] && [ $status -ne 124 ] && grep '^quire: ' "$work/none.err" | grep -qv ' peak ' && ! grep -q 'page' "$work/none.out"
ok $? "without swap, too much data ends with a message (status $status)" "$work/none.err"

# 4. A device that fails now and then: what is written goes elsewhere, what is read is read again. Stored as it is, so
# that everything goes through the file.
for failure in write-eio=5 read-eio=4 write-eio=9,read-eio=7; do
	QUIRE_INJECT=$failure timeout 60 "$QUIRE" run --ram 16M --swap "$swap" --compress none -- \
		"$checker" --mib 48 --threads 4 --ops 4000 --forks 1 >"$work/eio.out" 2>"$work/eio.err"
	is $? 0 "$failure: exit status" || tail -n 5 "$work/eio.err" | sed 's/^/# /'
	grep -q 'all pages right' "$work/eio.out"
	ok $? "$failure: every page is right" "$work/eio.out"
done
QUIRE_INJECT=write-enospc=40 timeout 60 "$QUIRE" run --ram 16M --swap "$swap" -- \
	"$checker" --mib 48 --threads 4 --ops 4000 --forks 0 >"$work/enospc.out" 2>"$work/enospc.err"
status=$?
if [ $status -eq 0 ]; then
	grep -q 'all pages right' "$work/enospc.out"
else
	[ $status -eq 120 ] && grep '^quire: ' "$work/enospc.err" | grep -v ' peak ' | grep -q 'swap\|memory'
fi
ok $? "write-enospc: right, or ended with a message (status $status)" "$work/enospc.err"

# 5. A page that cannot be read back ends the program; going on would mean wrong bytes.
QUIRE_INJECT=read-eio=1 timeout 60 "$QUIRE" run --ram 16M --swap "$swap" --compress none -- \
	"$checker" --mib 48 --threads 4 --ops 4000 --forks 0 >"$work/lost.out" 2>"$work/lost.err"
is $? 121 "a swap file that cannot be read: exit status"
! grep -q 'checker: .* page' "$work/lost.out" && grep '^quire: ' "$work/lost.err" | grep -q 'read'
ok $? "the message says that content cannot be read, and no page is wrong" "$work/lost.err"
finish
