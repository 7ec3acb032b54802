#!/bin/bash
# `quire lab`: its options, errors, tables, files and cache, on a stand-in for the cell runner; then a few cells of the
# real one.
. "$(dirname "$0")/lib.sh"
[ -x "$QUIRE" ] || skip_all "no $QUIRE"
needs python3
fake=$root/tests/cli_lab/fake_cell.py
export QUIRE_LAB_CELL=$fake XDG_CACHE_HOME=$work/cache FAKE_CELL_LOG=$work/log
real=$build/quire-lab-cell

lab()
{
	asks "$1" lab "${@:2}"
}

says()
{
	refuses "$1" "$2" lab "${@:3}"
}

# runs COUNT NAME: cells that the runner ran since the last time
runs()
{
	is "$(cat "$work/log" 2>/dev/null | wc -l)" "$1" "$2"
	rm -f "$work/log"
}

# ---- What there is ----
lab 0 list
grep -q "mmap-lock" "$work/out" && grep -q "epyc .*384 CPUs" "$work/out"
ok $? "list names mechanisms and machines" "$work/out"
lab 0 list --json
json 'len(x["workloads"]) == 3' "list --json names the workloads"
lab 0 validate --json
is "$(cat "$work/out")" "validate --json" "validate passes its options on"
lab 1 validate --fail
lab 0 calibrate

# ---- Wrong questions ----
says 125 "which workload. There is fault"
says 125 "unknown workload 'falt'; did you mean 'fault'.*lru" falt
says 125 "unknown machine 'epic'; did you mean 'epyc'.*numaq" fault --machine epic
says 125 "unknown option '--mmap-lck'; did you mean '--mmap-lock'" fault --mmap-lck vma
says 125 "unknown choice of --mmap-lock 'rwsm'; did you mean 'rwsem'" fault --mmap-lock rwsm
says 125 "unknown parameter of workload fault 'thnk'; did you mean 'think'" fault --param thnk=3
says 125 "not of the form NAME=VALUE" fault --param think
says 125 "machine numaq has 16 CPUs; --cpus goes up to 17" fault --machine numaq --cpus 1,17
for list in "" 0 1,x 1,... ...,4 1,2,4,...,...,8 3,4,7,...,20 8,...,4 5000 -1 1,,2; do
	says 125 "no list like" fault --cpus "$list"
done
says 125 "'lru' is too much" fault lru
says 125 "unknown option '-x'" fault -x
says 125 "'--seeds' needs a value" fault --seeds
says 125 "'--json=1' takes no value" fault --json=1
for option in seeds ms jobs; do
	says 125 "--$option 0 is not a number" fault --$option 0
done
says 125 "machine file .*cannot be read" fault --machine "$work/no.machine"
says 125 "No such file" fault --svg "$work/no/x.svg"
QUIRE_LAB_CELL=$work/nothing says 125 "no executable file" fault
printf 'cpus = 4\n' >"$work/good.machine"
printf '# bad\ncpsu = 4\n' >"$work/bad.machine"
says 125 "bad.machine:2: unknown parameter 'cpsu'" fault --machine "$work/bad.machine" --cpus 1,2 --seeds 1
says 125 "does not say how many CPUs" fault --machine "$work/bad.machine"
runs 0 "nothing was run for wrong questions"

# ---- Cells and their cache ----
lab 0 fault --machine epyc --cpus 1,2,4,...,24 --seeds 3 --mmap-lock rwsem,vma --json -q
runs 36 "6 CPU counts, 3 seeds, 2 choices: 36 cells"
json '[p["cpus"] for p in x["series"][0]["points"]] == [1, 2, 4, 8, 16, 24]' "the dots go on by doubling"
json '[s["label"] for s in x["series"]] == ["mmap-lock rwsem", "mmap-lock vma"]' "one series per choice"
json 'len(x["cells"]) == 36 and not any(c["cached"] for c in x["cells"]) and x["failed"] == []' "all cells are there"
json 'all(p["min_ops_per_s"] <= p["median_ops_per_s"] <= p["max_ops_per_s"] and p["seeds"] == 3
	for s in x["series"] for p in s["points"])' "the median lies in the band"
json 'all(p["median_ops_per_s"] == sorted(c["ops_per_s"] for c in x["cells"] if c["cpus"] == p["cpus"]
	and c["settings"] == s["settings"])[1] for s in x["series"] for p in s["points"])' "the median is that of the cells"
cp "$work/out" "$work/first"
lab 0 fault --machine epyc --cpus 1,2,4,...,24 --seeds 3 --mmap-lock rwsem,vma --json -q
runs 0 "the second time nothing is run"
json 'all(c["cached"] for c in x["cells"])' "all cells come from the cache"
python3 - "$work/first" "$work/out" <<'END'
import json, sys
first, second = (json.load(open(name)) for name in sys.argv[1:])
for cell in first["cells"] + second["cells"]:
    del cell["cached"]
assert first == second
END
ok $? "and are the same"
lab 0 fault --machine epyc --cpus 2,...,10 --seeds 4 --json -q
runs 16 "2, 4, 8, 10: other settings, other cells"
lab 0 fault --machine epyc --cpus 1,3,5,...,9 --seeds 1 --json -q
json '[p["cpus"] for p in x["series"][0]["points"]] == [1, 3, 5, 7, 9]' "the dots go on by a step"
lab 0 fault --machine host,numaq --seeds 1 --json -q
json '[[p["cpus"] for p in s["points"]] for s in x["series"]] == [[1, 2], [1, 2, 4, 8, 16]]' \
	"without --cpus each machine has its own"
lab 0 fault --machine host --param think=1,2 --param space=a,b --seeds 1 --json -q
json 'len({json.dumps(s["params"]) for s in x["series"]}) == 4' "parameters multiply as well"
rm -f "$work/log"
lab 0 fault --machine host --seeds 2 -q
runs 2 "of a seed more, only its cells run"
echo "{ broken" >"$work/broken"
for file in "$work"/cache/quire/lab/*.json; do
	case $((RANDOM_AT = ${RANDOM_AT:-0} + 1)) in
	1) cp "$work/broken" "$file" ;;
	2) : >"$file" ;;
	3) sed -i 's/"seed":1/"seed":7/' "$file" ;;
	4) sed -i 's/"ops_per_s"/"ops_per_x"/' "$file" ;;
	5) sed -i 's/,"counters".*/}}/' "$file" ;;
	*) break ;;
	esac
done
rm -f "$work/log"
lab 0 fault --machine epyc --cpus 1,2,4,...,24 --seeds 3 --mmap-lock rwsem,vma --json -q
lab 0 fault --machine epyc --cpus 2,...,10 --seeds 4 --json -q
lab 0 fault --machine epyc --cpus 1,3,5,...,9 --seeds 1 --json -q
lab 0 fault --machine host,numaq --seeds 2 --json -q
lab 0 fault --machine host --param think=1,2 --param space=a,b --seeds 1 --json -q
nr_runs=$(cat "$work/log" | wc -l)
[ "$nr_runs" -ge 4 ] && [ "$nr_runs" -le 12 ]
ok $? "damaged files are ignored ($nr_runs cells run again)"
rm -f "$work/log"
lab 0 fault --machine epyc --cpus 1,2,4,...,24 --seeds 3 --mmap-lock rwsem,vma --json -q
runs 0 "and written anew"
is "$(find "$work/cache" -type f ! -name '*.json' | wc -l)" 0 "no draft is left behind"
lab 0 fault --machine host --seeds 1 --no-cache -q
lab 0 fault --machine host --seeds 1 --no-cache -q
runs 4 "--no-cache runs every cell"
lab 0 fault --machine "$work/good.machine" --seeds 1 -q
sed -i 's/4/3/' "$work/good.machine"
rm -f "$work/log"
lab 0 fault --machine "$work/good.machine" --seeds 1 -q --cpus 1,2
runs 2 "a machine file that changed is another machine"
cp "$work/good.machine" "$work/other.machine"
lab 0 fault --machine "$work/other.machine" --seeds 1 -q --cpus 1,2
runs 0 "a copy of it is the same machine"
cp "$fake" "$work/fake2"
echo '# changed' >>"$work/fake2"
QUIRE_LAB_CELL=$work/fake2 lab 0 fault --machine host --seeds 1 -q
runs 2 "another runner's cells are not taken"
XDG_CACHE_HOME=/proc/nowhere lab 0 fault --machine host --seeds 1 -q
grep -q "cannot be kept" "$work/err"
ok $? "a cache that cannot be written is said and is no error" "$work/err"
rm -f "$work/log"

# ---- Text, plot, page ----
lab 0 fault --machine epyc --cpus 1,2,4,...,384 --seeds 2 --mmap-lock rwsem,vma --no-cache \
	--svg "$work/x.svg" --report "$work/x.html"
grep -qE "^ *384 .*M" "$work/out" && grep -q "WAIT" "$work/out" && grep -q "qr_lru_add+0x2c" "$work/out"
ok $? "prints throughput and lock tables" "$work/out"
is "$(grep -c "^[0-9]*/40 fault, epyc" "$work/err")" 40 "a line of progress for each cell that is run"
awk 'length($0) > 132' "$work/out" | head -n 3 >"$work/why"
[ ! -s "$work/why" ]
ok $? "no line of text is wider than 132 columns" "$work/why"
if command -v gnuplot >/dev/null; then
	python3 - "$work/x.svg" <<'END' >"$work/why" 2>&1
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
text = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("text") or e.tag.endswith("tspan"))
for word in ("mmap-lock rwsem", "mmap-lock vma", "384", "simulated CPUs", "operations per virtual second"):
    assert word in text, (word, text)
END
	ok $? "the plot is SVG with both variants, the CPUs and both axes' names" "$work/why"
	is "$(grep -c '<figure>' "$work/x.html")" 2 "the page shows two plots"
fi
python3 - "$work/x.html" <<'END' >"$work/why" 2>&1
import html.parser, re, sys
text = open(sys.argv[1], encoding="utf-8").read()
assert not re.search(r'(src|href)="(https?:)?//', text), "needs the network"
assert not re.search(r"<script", text)
assert "&lt;&amp;&gt;" in text, "names are not escaped"
class Page(html.parser.HTMLParser):
    open_tags = []
    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "path", "use", "circle", "rect", "link"):
            self.open_tags.append(tag)
    def handle_endtag(self, tag):
        if tag not in ("path", "use", "circle", "rect"):
            assert self.open_tags.pop() == tag, (tag, self.getpos())
    def handle_startendtag(self, tag, attributes):
        pass
page = Page()
page.feed(text)
assert not page.open_tags, page.open_tags
for word in ("quire lab fault --machine epyc", "mmap-lock vma", "Machines", "Counters", "--workload fault"):
    assert word in text, word
END
ok $? "the page is whole, escaped and needs no network" "$work/why"
mkdir "$work/bin"
ln -s "$(command -v env)" "$work/bin/env"
ln -s "$(python3 -c 'import sys; print(sys.executable)')" "$work/bin/python3"
PATH=$work/bin "$QUIRE" lab fault --machine host --seeds 1 -q --svg "$work/y.svg" --report "$work/y.html" \
	>"$work/out" 2>"$work/err"
is $? 0 "without gnuplot: exit status 0"
grep -q "gnuplot is not installed" "$work/err" && [ ! -e "$work/y.svg" ] && grep -q "</html>" "$work/y.html"
ok $? "without gnuplot: says so, and the page is there without plots" "$work/err"

# ---- Cells that fail ----
for how in exit signal garbage silent wrong; do
	lab 1 boom --machine numaq --cpus 1,2 --seeds 3 --param how=$how --json
	json 'len(x["failed"]) == 2 and len(x["cells"]) == 4' "boom $how: the others go on"
	grep -A 1 "failed: boom, numaq, 2 CPUs, how $how, seed 2: ." "$work/err" | grep -q -- "--seed 2 --param how=$how"
	ok $? "boom $how: its reason and the command that runs it alone" "$work/err"
	case $how in
	exit) pattern="invariant broken" ;;
	signal) pattern="signal 11" ;;
	garbage | silent) pattern="no JSON" ;;
	wrong) pattern="not that of such a cell" ;;
	esac
	json "all('$pattern' in f['reason'] for f in x['failed'])" "boom $how: the reason is $pattern"
done
rm -f "$work/log"
lab 1 boom --machine numaq --cpus 1,2 --seeds 3 --param how=exit -q
runs 0 "cells that fail are not kept, those beside them are"

# ---- Interrupts ----
for signal in INT TERM; do
	rm -rf "$work/cache2"
	XDG_CACHE_HOME=$work/cache2 python3 - "$QUIRE" "$signal" "$work" <<'END' >"$work/why" 2>&1
import os, signal, subprocess, sys, time
quire, name, work = sys.argv[1:]
words = [quire, "lab", "boom", "--machine", "numaq", "--cpus", "1,2,4", "--seeds", "3", "--param", "how=sleep,exit"]
run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
time.sleep(2)
children = open(f"/proc/{run.pid}/task/{run.pid}/children").read().split()
assert len(children) == 2, children
begin = time.time()
os.kill(run.pid, getattr(signal, "SIG" + name))
out, err = run.communicate(timeout=10)
assert time.time() - begin < 5
assert run.returncode == 128 + getattr(signal, "SIG" + name), run.returncode
assert b"interrupted" in err and not out, (out, err)
assert not any(os.path.exists("/proc/" + child) for child in children)
END
	ok $? "SIG$signal ends the children and the command, with 128 + its number" "$work/why"
done

# ---- The real runner ----
if [ -x "$real" ]; then
	export QUIRE_LAB_CELL=$real
	lab 0 list
	lab 0 lock --machine numaq --cpus 1,2,4 --seeds 2 --ms 1 --json -q
	json 'len(x["cells"]) == 6 and all(c["ops"] > 0 for c in x["cells"])' "real cells: all did work"
	json 'all(m["params"] for m in x["machines"])' "real cells: the machine's parameters are read"
	lab 0 lock --machine numaq --cpus 1,2,4 --seeds 2 --ms 1 --no-cache --json -q
	json 'len({c["hash"] for c in x["cells"]}) == 6' "real cells: other seeds and CPUs, other outcomes"
	cp "$work/out" "$work/first"
	lab 0 lock --machine numaq --cpus 1,2,4 --seeds 2 --ms 1 --no-cache --json -q
	python3 -c 'import json, sys
a, b = ([c["hash"] for c in json.load(open(name))["cells"]] for name in sys.argv[1:])
assert a == b' "$work/first" "$work/out"
	ok $? "real cells: the same seed gives the same hash"
	sed 's/^cpus = /cpsu = /' "$root/ports/sim/machines/numaq.machine" >"$work/bad.machine"
	says 125 "bad.machine:[0-9]+: .*cpsu" lock --machine "$work/bad.machine" --cpus 1 --seeds 1
else
	note "no $real: the real runner is left out"
fi
finish
