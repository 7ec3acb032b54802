#!/bin/bash
# A program under quire behaves as without: exit status, streams, signals, environment; the reports are there.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3

run()
{
	timeout 30 "$QUIRE" run --ram 64M --swap "$swap" "$@"
}

# exits STATUS NAME COMMAND...
exits()
{
	local wanted=$1 name=$2
	shift 2
	run "$@" >"$work/out" 2>"$work/err" </dev/null
	is $? "$wanted" "$name: exit status $wanted"
}

# wait_for FILE: up to 10 s until the program has written something there
wait_for()
{
	local tries
	for ((tries = 0; tries < 200; tries++)); do
		[ -s "$1" ] && return
		sleep 0.05
	done
}

exits 0 "true" -- true
grep -qE '^quire: budget 64\.0 MiB, peak .* faults .* stalled' "$work/err"
ok $? "one summary line" "$work/err"
is "$(wc -l <"$work/err")" 1 "and no other line"
exits 7 "exit 7" -- sh -c 'exit 7'
exits 125 "a program's own 125" -- sh -c 'exit 125'
exits 137 "SIGKILL" -- sh -c 'kill -KILL $$'
exits 139 "SIGSEGV" -- sh -c 'ulimit -c 0; kill -SEGV $$'
exits 143 "SIGTERM" -- sh -c 'kill -TERM $$'
exits 0 "--quiet" --quiet -- sh -c 'echo to-err >&2; echo to-out'
is "$(cat "$work/out")-$(cat "$work/err")" "to-out-to-err" "--quiet: only the program's own output"

printf '#!/bin/sh\necho "$0 $*"\n' >"$work/script"
chmod +x "$work/script"
is "$(run -q -- "$work/script" a -- --ram 'b c')" "$work/script a -- --ram b c" "arguments reach a script unchanged"
is "$(echo word | run -q -- cat)" "word" "standard input reaches the program"
is "$(run -q -- sh -c 'echo "${LD_PRELOAD%%:*}"' | sed 's,.*/,,')" "libquire-preload.so" "LD_PRELOAD begins with the library"
is "$(LD_PRELOAD=libdl.so.2 run -q -- sh -c 'echo "${LD_PRELOAD#*:}"' 2>/dev/null)" "libdl.so.2" "and keeps what was there"
is "$(cd / && run -q -- pwd)" "/" "the working directory is kept"
is "$(trap '' USR1 && run -q -- python3 -c '
import signal
print(signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
      len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))')" "True True 0" "ignored signals stay ignored, none is blocked"

# The reader must see the end of the output although the launcher runs on.
SECONDS=0
"$QUIRE" run --ram 64M --swap "$swap" -q -- sh -c 'echo first; exec >&-; sleep 3' | { cat >/dev/null; echo $SECONDS >"$work/eof"; } &
wait $!
[ "$(cat "$work/eof")" -lt 3 ]
ok $? "a pipe ends when the program closes it"

# kill(2) to the launcher alone reaches the program.
for signal in TERM INT HUP USR1 USR2; do
	rm -f "$work/ready" "$work/got"
	"$QUIRE" run --ram 64M --swap "$swap" -q -- python3 -c '
import os, signal, sys
number = getattr(signal, "SIG" + sys.argv[1])
def got(*_):
    open(sys.argv[3], "w").write(sys.argv[1])
    os._exit(33)
signal.signal(number, got)
signal.alarm(15)
open(sys.argv[2], "w").write("x")
while True:
    signal.pause()
' $signal "$work/ready" "$work/got" 2>"$work/err" &
	launcher=$!
	wait_for "$work/ready"
	kill -$signal $launcher
	wait $launcher
	is "$?-$(cat "$work/got" 2>/dev/null)" "33-$signal" "SIG$signal to the launcher reaches the program" "$work/err"
done

# Ctrl-C on a terminal reaches the program once, not once more through the launcher.
python3 - "$QUIRE" "$swap" >"$work/err" 2>&1 <<'END'
import os, pty, sys, time
program = """
import signal, time
count = 0
def got(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, got)
print("ready", flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    time.sleep(0.05)
raise SystemExit(40 + count)
"""
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["quire", "run", "--ram", "64M", "--swap", sys.argv[2], "-q", "--", "python3", "-c", program])
while b"ready" not in os.read(terminal, 100):
    pass
os.write(terminal, b"\x03")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == 41, status
END
ok $? "Ctrl-C reaches the program once" "$work/err"

# A launcher that is killed takes the program along.
rm -f "$work/ready"
"$QUIRE" run --ram 64M --swap "$swap" -q -- sh -c 'echo $$ >"$1"; exec sleep 20' sh "$work/ready" &
launcher=$!
wait_for "$work/ready"
program=$(cat "$work/ready")
kill -KILL $launcher
wait $launcher 2>/dev/null
for ((tries = 0; tries < 100; tries++)); do
	kill -0 "$program" 2>/dev/null || break
	sleep 0.05
done
! kill -0 "$program" 2>/dev/null
ok $? "the program ends when the launcher is killed"

# Stopping and going on, as a shell's job control does it.
rm -f "$work/ready"
"$QUIRE" run --ram 64M --swap "$swap" -q -- sh -c 'echo $$ >"$1"; sleep 1; exit 5' sh "$work/ready" &
launcher=$!
wait_for "$work/ready"
kill -TSTP $launcher
sleep 0.3
is "$(awk '/^State/ {print $2}' /proc/$launcher/status)" T "SIGTSTP stops the launcher"
# In an orphaned process group (no shell above) the system ignores SIGTSTP: see what it does to a plain program.
sleep 3 &
plain=$!
sleep 0.1
kill -TSTP $plain
sleep 0.2
expected=$(awk '/^State/ {print $2}' /proc/$plain/status)
kill -KILL $plain
is "$(awk '/^State/ {print $2}' "/proc/$(cat "$work/ready")/status")" "$expected" "and the program, as any other"
kill -CONT $launcher
wait $launcher
is $? 5 "SIGCONT lets both go on"

# Figures while it runs.
rm -f "$work/ready"
"$QUIRE" run --ram 64M --swap "$swap" -q --report "$work/r.html" --stats-json "$work/r.json" -- \
	python3 -c 'import sys, time; x = bytearray(20 << 20); open(sys.argv[1], "w").write("x"); time.sleep(1.5)' \
	"$work/ready" &
launcher=$!
wait_for "$work/ready"
sleep 0.4
child=$(cat "/proc/$launcher/task/$launcher/children")
"$QUIRE" stat $launcher >"$work/stat" 2>"$work/err"
is $? 0 "stat of the launcher" "$work/err"
grep -q 'budget *64.0 MiB' "$work/stat" && grep -q "^ *${child% } python3" "$work/stat"
ok $? "stat shows the budget and the process" "$work/stat"
"$QUIRE" stat $child --json >"$work/stat.json" 2>"$work/err"
is $? 0 "stat --json of the program" "$work/err"
wait $launcher
is $? 0 "exit status with reports"
python3 - "$work/stat.json" "$work/r.json" "$work/r.html" >"$work/err" 2>&1 <<'END'
import json, sys
from html.parser import HTMLParser
stat, run = (json.load(open(name)) for name in sys.argv[1:3])
assert stat["totals"]["budget_bytes"] == run["totals"]["budget_bytes"] == 64 << 20
assert stat["totals"]["processes_live"] == 1 and stat["processes"][0]["command"].startswith("python3")
assert stat["totals"]["used_bytes"] > 16 << 20, stat["totals"]
assert run["exit_status"] == 0 and run["totals"]["processes_live"] == 0
assert run["totals"]["processes_ended"] >= 1 and run["totals"]["counters"]["faults"] > 0
assert run["totals"]["peak_bytes"] <= 64 << 20
assert run["wall_seconds"] > 1.4 and run["command"][0] == "python3"
lengths = {len(values) for values in run["samples"].values()}
assert len(lengths) == 1 and lengths.pop() >= 8, run["samples"]
assert any(row["command"].startswith("python3") for row in run["processes"])
page = open(sys.argv[3]).read()
assert page.count("<svg") == 3 and "http" not in page, "a page that needs no network"
class Parser(HTMLParser):
    void = {"meta", "line", "rect", "polyline"}
    stack = []
    def handle_starttag(self, tag, attributes):
        if tag not in self.void:
            self.stack.append(tag)
    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.stack.pop() == tag, tag
parser = Parser()
parser.feed(page)
assert not parser.stack
END
ok $? "the figures of stat, JSON and HTML agree" "$work/err"

# A shell that waits and the end of a pipe use a megabyte each: the rest of the budget goes to the one that needs it.
cat >"$work/thrash.py" <<'END'
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
data = bytearray(96 << 20)
until = time.monotonic() + 6
while time.monotonic() < until:
    for i in range(0, len(data), 4096):
        data[i] = data[i] + 1 & 255
END
rm -f "$work/started"
run -- bash -c "python3 '$work/thrash.py' '$work/started' | cat; true" >"$work/out" 2>"$work/err" </dev/null &
launcher=$!
wait_for "$work/started"
sleep 2
for ((i = 0; i < 10; i++)); do
	"$QUIRE" stat "$(cat "$work/started")" --json 2>"$work/err"
	echo
	sleep 0.1
done >"$work/stat.jsonl"
wait $launcher
python3 - "$work/stat.jsonl" >"$work/err" 2>&1 <<'END'
import json, sys
quotas = []
decoder, text = json.JSONDecoder(), open(sys.argv[1]).read().strip()
while text:
    rows, end = decoder.raw_decode(text)
    text = text[end:].strip()
    quotas += [row["quota_bytes"] >> 20 for row in rows["processes"] if row["command"] == "python3"]
print(quotas)
assert len(quotas) == 10 and min(quotas) >= 46, quotas
assert max(quotas) - min(quotas) <= 4, quotas
END
ok $? "quota that a process does not use goes to one that starves, and stays there" "$work/err"

# Forks put frames back for the time that they take; a shell must not mistake that for a lack of memory.
"$QUIRE" run --quiet --ram 256M --swap "$swap" -- bash -c "true & true & true; text=\$(seq 50000)
	'$QUIRE' stat \$PPID --json >'$work/stat.json'" 2>"$work/err" </dev/null
python3 - "$work/stat.json" >"$work/err" 2>&1 <<'END'
import json, sys
rows = json.load(open(sys.argv[1]))["processes"]
print([(row["command"], row["quota_bytes"]) for row in rows])
assert all(row["quota_bytes"] <= 64 << 20 for row in rows if row["command"] == "bash")
END
ok $? "a shell that forks takes no more of the budget" "$work/err"
finish
