#!/bin/bash
# Groups of processes: two programs in one budget, one of them held to its max and the other above its low mark.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3

cat >"$work/hold.py" <<'PYTHON'
import os, sys, time
# Fills MiB, waits until the file is gone, and looks at every page.
mib, name = int(sys.argv[1]), sys.argv[2]
data = bytearray(mib << 20)
for at in range(0, len(data), 4096):
    data[at] = (at >> 12) % 251
open(name + ".full", "w").close()
while os.path.exists(name):
    time.sleep(0.05)
sys.exit(any(data[at] != (at >> 12) % 251 for at in range(0, len(data), 4096)))
PYTHON

python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
for name in limited kept; do
	ln -s "$python" "$work/$name"
	touch "$work/$name.held"
done

# The real interpreter is found by its own prefix, not by the name of the link.
prefix=$(python3 -c 'import sys; print(sys.prefix)')
PYTHONHOME=$prefix "$QUIRE" run -q --ram 256M --swap "$swap" --group web:max=48M,match='limi*' \
	--group db:high=160M,low=96M,match=kept --stats-json "$work/stats.json" -- \
	bash -c "'$work/limited' '$work/hold.py' 120 '$work/limited.held' & one=\$!
		'$work/kept' '$work/hold.py' 120 '$work/kept.held' & two=\$!
		wait \$one || exit 1; wait \$two" >"$work/out" 2>&1 &
run=$!
for ((i = 0; i < 600; i++)); do
	[ -e "$work/limited.held.full" ] && [ -e "$work/kept.held.full" ] && break
	sleep 0.1
done
[ -e "$work/limited.held.full" ] && [ -e "$work/kept.held.full" ]
ok $? "both programs fill their memory" "$work/out"
"$QUIRE" stat $run --json >"$work/stat.json" 2>"$work/err"
ok $? "stat shows the run" "$work/err"
python3 - "$work/stat.json" >"$work/log" 2>&1 <<'PYTHON'
import json, sys
groups = {group["name"]: group for group in json.load(open(sys.argv[1]))["groups"]}
web, db = groups["web"], groups["db"]
print(groups)
assert web["max_bytes"] == 48 << 20 and web["high_bytes"] is None and web["match"] == "limi*"
assert web["processes_live"] == 1 and db["processes_live"] == 1
assert web["quota_bytes"] <= 48 << 20
assert 96 << 20 <= db["quota_bytes"] <= 164 << 20
PYTHON
ok $? "each group has what its limits say" "$work/log"
"$QUIRE" stat $run >"$work/text" 2>&1 && grep -q '^web  *limi\*  *1 .* 48.0 MiB' "$work/text"
ok $? "stat prints the groups" "$work/text"
rm -f "$work/limited.held" "$work/kept.held"
wait $run
ok $? "both find every page as they left it" "$work/out"
python3 - "$work/stats.json" >"$work/log" 2>&1 <<'PYTHON'
import json, sys
groups = {group["name"]: group for group in json.load(open(sys.argv[1]))["groups"]}
print(groups)
assert 0 < groups["web"]["peak_bytes"] <= 48 << 20
assert groups["db"]["peak_bytes"] > 96 << 20
PYTHON
ok $? "peaks are in the statistics" "$work/log"

# refused ARGUMENT PATTERN
refused()
{
	"$QUIRE" run --ram 64M --group "$1" -- true >"$work/out" 2>&1
	[ $? -eq 125 ] && grep -q -- "$2" "$work/out"
	ok $? "--group '$1' is refused: $2" "$work/out"
}
refused web 'has no limits'
refused web: 'is not max=SIZE'
refused :max=16M 'the name before the colon'
refused web:max=16 'is below the least'
refused web:max=big 'is not a size'
refused web:max=16M,max=17M 'is given twice'
refused web:max=16M,high=17M 'high is above max'
refused web:match=x 'has no limits'
refused web:low=65M 'more than the budget'
finish
