#!/bin/bash
# `quire claims`: the registry is whole, its figures follow from the cells, and its errors; on a stand-in for the cell
# runner, then on the real one.
. "$(dirname "$0")/lib.sh"
[ -x "$QUIRE" ] || skip_all "no $QUIRE"
needs python3
export QUIRE_LAB_CELL=$root/tests/cli_lab/fake_cell.py XDG_CACHE_HOME=$work/cache
real=$build/quire-lab-cell

claims()
{
	asks "$1" claims "${@:2}"
}

# ---- The registry ----
cat >"$work/ids" <<'END'
P1-5 A1-9 B1-5 V1-8 T1-8 R1-11 L1-11 H1-6 X1-4
END
claims 0 --json -q --seeds 3
cp "$work/out" "$work/all"
python3 - "$work/ids" "$work/out" <<'END' >"$work/why" 2>&1
import json, re, sys
wanted = []
for word in open(sys.argv[1]).read().split():
    letter, first, last = re.fullmatch(r"([A-Z])(\d+)-(\d+)", word).groups()
    wanted += [f"{letter}{i}" for i in range(int(first), int(last) + 1)]
rows = json.load(open(sys.argv[2]))
assert [row["id"] for row in rows] == wanted
for row in rows:
    for key in ("id", "source", "mechanism", "claim", "must_show", "measured_by", "unit", "command"):
        assert isinstance(row[key], str) and row[key] or key == "unit", (key, row)
    assert row["verdict"] in ("holds", "short", "missing"), row
    assert (row["measured"] is None) <= (row["verdict"] == "missing"), row
    assert isinstance(row["measured"], (int, float, type(None))), row
    assert row["command"].startswith("quire claims " + row["id"]), row
    if row["measured"] is None:
        assert row["note"], row
    if "band" in row:
        assert row["band"][0] <= row["measured"] <= row["band"][1], row
END
ok $? "every row is there, in order, with all keys" "$work/why"
json 'r["P1"]["measured"] == 32 and r["P1"]["verdict"] == "holds"' "P1: the size of the built descriptor"
json 'r["L2"]["verdict"] == "missing" and "lru_lock_waits" not in str(r["L2"]) or r["L2"]["cells"]' "L2 has its cells"
json 'r["A4"]["verdict"] == "missing" and "churn" in r["A4"]["note"]' "what the lab lacks is named"

# ---- Selection ----
claims 0 -q --quick r2 P1
is "$(grep -cE '^(P1|R2)  ' "$work/out")" 2 "rows by id, in any case and order"
grep -q "^2 claims: " "$work/out"
ok $? "and no others" "$work/out"
claims 0 -q --quick --json H
is "$(grep -c '"id"' "$work/out")" 6 "a letter stands for its family"
claims 125 Z9
grep -q "no claim 'Z9'; there is P1-P5" "$work/err"
ok $? "an unknown id: says what there is" "$work/err"
claims 125 --frob
claims 125 --seeds 0
claims 125 --seeds
claims 125 --html "$work/no/x.html" -q P1

# ---- Figures follow from the cells ----
claims 0 --json -q --seeds 3 R2 V2 X4
python3 - "$work/out" "$QUIRE_LAB_CELL" <<'END' >"$work/why" 2>&1
import json, shlex, statistics, subprocess, sys
rows = {row["id"]: row for row in json.load(open(sys.argv[1]))}
def cell(line, seed):
    words = shlex.split(line)
    words[words.index("--seed") + 1] = str(seed)
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
one, many = rows["V2"]["cells"] if rows["V2"]["cells"] else (None, None)
if one:
    ratios = [cell(many, seed)["ops_per_s"] / cell(one, seed)["ops_per_s"] for seed in (1, 2, 3)]
    assert abs(rows["V2"]["measured"] - statistics.median(ratios)) < 1e-6 * ratios[0], (rows["V2"], ratios)
    assert abs(rows["V2"]["band"][0] - min(ratios)) < 1e-6 * ratios[0]
assert rows["X4"]["measured"] == 100 and rows["X4"]["verdict"] == "holds", rows["X4"]
END
ok $? "V2 and X4 can be recomputed from the cells that they name" "$work/why"
claims 0 -q --quick --html "$work/x.html"
python3 - "$work/x.html" <<'END' >"$work/why" 2>&1
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
assert len(re.findall(r'<tr id="[A-Z][0-9]+">', text)) == 67
assert not re.search(r'(src|href)="', text) and text.rstrip().endswith("</html>")
END
ok $? "the page has every row and needs no network" "$work/why"

# ---- Without the lab, and with cells that fail ----
QUIRE_LAB_CELL=$work/nothing claims 0 --json -q
json 'len(x) == 67 and r["P1"]["verdict"] == "holds" and r["X4"]["verdict"] == "missing"' "without the lab: every row"
sed 's/^def run(options):/&\n    fail("exit")/' "$QUIRE_LAB_CELL" >"$work/failing"
chmod +x "$work/failing"
QUIRE_LAB_CELL=$work/failing claims 1 --json -q X4 P1
json 'r["X4"]["verdict"] == "missing" and "invariant broken" in r["X4"]["note"] and "--seed" in r["X4"]["note"]' \
	"a cell that fails: its reason and command are in the row"
json 'r["P1"]["verdict"] == "holds"' "and the other rows are answered"

# ---- The real runner ----
if [ -x "$real" ]; then
	export QUIRE_LAB_CELL=$real
	claims 0 --json -q --quick L1 L2 R2 A4 X2 X4
	json 'all(row["measured"] is not None for row in x)' "real cells: L1, L2, R2, A4, X2 and X4 have figures"
	json 'r["X4"]["verdict"] == "holds" and r["A4"]["verdict"] == "holds"' "real cells: X4 and A4 hold"
	json 'r["L2"]["verdict"] == "holds"' "real cells: L2 holds"
	cp "$work/out" "$work/first"
	claims 0 --json -q --quick --no-cache L2 A4
	python3 -c 'import json, sys
a, b = ({r["id"]: r["measured"] for r in json.load(open(name))} for name in sys.argv[1:])
assert all(a[name] == b[name] for name in b)' "$work/first" "$work/out"
	ok $? "real cells: the same figures when they are run again"
	claims 0 --json -q --quick A1 V7 R8 L4 L5 L9 P3 T2
	json 'all(row["measured"] is not None for row in x)' "real cells: A1, V7, R8, L4, L5, L9, P3 and T2 have figures"
	json 'r["R8"]["measured"] == 0 and all(more["measured"] == 0 for more in r["R8"]["more"])' \
		"real cells: R8: no memory per page"
	json 'r["L5"]["verdict"] == "holds" and r["L4"]["verdict"] == "holds"' "real cells: L4 and L5 hold"
	json 'r["L9"]["verdict"] == "holds" and r["L9"]["measured"] > 0' "real cells: L9: out of memory within a second"
	json 'r["T2"]["more"][1]["measured"] == 0' "real cells: T2: no bytes for the lock"
	json 'r["A1"]["measured"] == 100' "real cells: A1: all rules of waiting are obeyed"
	# Negative controls: what the rows rest on shows when it is missing.
	cell() { timeout 100 "$real" run --machine epyc --cpus 1 --workload "$@"; }
	cell stream --ms 1200 --param ram-mib=64 --param hot=8192 --param file=163840 --param touches=8 --param think=0 \
		--set reclaim=fifo >"$work/out" 2>"$work/err"
	json 'x["counters"]["hot_refaults"] > 0.01 * x["counters"]["hot_touches"]' "one list: the hot set does not stay"
	cell mappings --ms 1000 --param folio=base >"$work/out" 2>"$work/err"
	json 'x["counters"]["mapped_folios"] == x["counters"]["mapped_pages"]' "folios of one page: no groups"
else
	note "no $real: the real runner is left out"
fi
finish
