#!/bin/bash
# redis-server filled to twice its budget: every key is read back; BGSAVE forks a child that writes a snapshot while
# the server goes on; after SIGKILL a new server loads the dump and every key is compared.
. "$(dirname "$0")/lib.sh"
needs_quire
needs redis-server python3

keys=$(scaled 190000)
ram=$(($(scaled 320) / 2))
[ "$ram" -lt 32 ] && ram=32
client="timeout 150 python3 $here/redis_client.py $work/socket"
undo+=('stop')

stop()
{
	[ -n "${sampler:-}" ] && kill -0 "$sampler" 2>/dev/null || return 0
	# The tree below the sampler: launcher, server, its children; theirs are the only processes ended here.
	local pid
	for pid in $(descendants "$sampler"); do
		kill -9 "$pid" 2>/dev/null
	done
	wait "$sampler" 2>/dev/null
	sampler=
}

descendants()
{
	local child
	for child in $(ps -o pid= --ppid "$1"); do
		descendants "$child"
		echo "$child"
	done
}

# start NAME
start()
{
	rm -f "$work/socket"
	"$sample_rss" --timeout 240 --out "$work/$1.rss" -- \
		"$QUIRE" run --ram "${ram}M" --swap "$swap" -- redis-server --port 0 --unixsocket "$work/socket" \
		--save "" --appendonly no --dir "$work" --dbfilename dump.rdb --daemonize no \
		--stop-writes-on-bgsave-error no >"$work/$1.log" 2>&1 </dev/null &
	sampler=$!
	$client wait >"$work/log" 2>&1
	ok $? "$1: the server answers" "$work/$1.log" || finish
}

start first
$client fill "$keys" >"$work/log" 2>&1
ok $? "$keys keys go in" "$work/log"
$client check "$keys" >"$work/log" 2>&1
ok $? "all keys come back" "$work/log"
$client bgsave >"$work/log" 2>&1
ok $? "BGSAVE" "$work/log" || tail -n 5 "$work/first.log" | sed 's/^/# /'
$client check "$((keys))" >"$work/log" 2>&1
ok $? "all keys are right after the fork" "$work/log"
stop
in_budget "first server and its child" "$work/first.rss" "$ram"

start second
$client check "$keys" >"$work/log" 2>&1
ok $? "a server that loaded the dump has every key" "$work/log"
stop
in_budget "second server" "$work/second.rss" "$ram"
finish
