#!/bin/bash
# A program's faults become a trace that replay reads; its pages, processes and formats; what goes wrong is said.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')

cat >"$work/touch.py" <<'PYTHON'
import mmap, os
# 32 MiB in order, four times, by two processes one after the other.
def turns(nr):
    data = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for turn in range(nr):
        for at in range(0, len(data), 4096):
            data[at] = turn
if os.fork() == 0:
    turns(4)
    os._exit(0)
os.wait()
turns(4)
PYTHON

# record NAME STATUS ARGUMENT...: $work/NAME.err
record()
{
	local name=$1 wanted=$2
	shift 2
	timeout 60 "$QUIRE" record "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null
	is $? "$wanted" "$name: exit status $wanted" || tail -n 5 "$work/$name.err" | sed 's/^/# /'
}

for delivery in auto signal; do
	record $delivery 0 -o "$work/trace" --ram 40M --swap "$swap" --delivery $delivery -- "$python" "$work/touch.py"
	grep -qE "^quire: record: [0-9,]+ accesses in $work/trace\$" "$work/$delivery.err"
	ok $? "$delivery: says how many" "$work/$delivery.err"
	python3 - "$work/trace" >"$work/log" 2>&1 <<'PYTHON'
import collections, struct, sys
data = open(sys.argv[1], "rb").read()
assert len(data) % 24 == 0
records = list(struct.iter_unpack("<IQIq", data))
assert all(size == 4096 and following == -1 for _, _, size, following in records)
assert [r[0] for r in records] == sorted(r[0] for r in records), "times"
pages = collections.defaultdict(set)
for _, page, _, _ in records:
    pages[page >> 36].add(page & (1 << 36) - 1)
big = [found for found in pages.values() if len(found) >= 8192]
print(len(records), {key: len(found) for key, found in pages.items()})
# Each process touches 8192 pages; the budget holds fewer, so that the loop faults in every turn.
assert len(big) == 2, "two processes"
assert len(records) >= 2 * 8192 * 2
for found in big:
    run = best = 0
    for page in sorted(found):
        run = run + 1 if page - 1 in found else 1
        best = max(best, run)
    assert best >= 8192, best
PYTHON
	ok $? "$delivery: every page of both processes is in the trace" "$work/log"
done
timeout 60 "$QUIRE" replay "$work/trace" --policy lru,min --sizes 10%,50% --json >"$work/replay" 2>"$work/err"
is $? 0 "replay reads it"
python3 - "$work/replay" "$work/trace" >"$work/log" 2>&1 <<'PYTHON'
import json, os, sys
trace = json.load(open(sys.argv[1]))["traces"][0]
assert trace["format"] == "oracle", trace
assert trace["accesses"] == os.path.getsize(sys.argv[2]) // 24, trace
PYTHON
ok $? "with as many accesses" "$work/log"

record text 0 -q --format text -o "$work/text" --ram 40M --swap "$swap" -- "$python" "$work/touch.py"
[ ! -s "$work/text.err" ] && [ "$(wc -l <"$work/text")" -gt 30000 ] && ! grep -qvE '^[0-9]+$' "$work/text"
ok $? "text: a number per line, and nothing on standard error" "$work/text.err"
timeout 60 "$QUIRE" replay "$work/text" --policy lru --sizes 50% >"$work/out" 2>"$work/err"
is $? 0 "replay reads text"

record status 7 -o "$work/trace" --ram 64M --swap "$swap" -- sh -c 'exit 7'
cd "$work" || exit 1
record default 0 --ram 64M --swap "$swap" -- "$python" -c 0
[ -s "$work/quire.trace" ]
ok $? "the trace is quire.trace by default"
record none 125 --ram 64M
grep -q 'record: no program' "$work/none.err"
ok $? "no program: says so" "$work/none.err"
record folder 125 -o "$work" -- true
grep -q "record: $work: Is a directory" "$work/folder.err"
ok $? "an output that is a directory: says so" "$work/folder.err"
record format 125 --format csv -- true
grep -q 'record: --format csv is unknown; it is oracle or text' "$work/format.err"
ok $? "an unknown format: says so" "$work/format.err"
record option 125 --frob -- true
grep -q "record: unknown option '--frob'" "$work/option.err"
ok $? "an unknown option: says so" "$work/option.err"
if [ -e /dev/full ]; then
	record full 125 -o /dev/full --ram 64M --swap "$swap" -- "$python" -c 0
	grep -q 'record: cannot write /dev/full: .*not complete' "$work/full.err"
	ok $? "a full device: says so" "$work/full.err"
fi
finish
