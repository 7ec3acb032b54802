#!/bin/bash
# python3 builds, sorts and hashes hundreds of megabytes of objects at half of its native peak. Objects of 4 KiB:
# with many small ones every step of the sort touches other pages, and any way of paging needs minutes.
. "$(dirname "$0")/lib.sh"
needs_quire
needs python3

cat >"$work/build.py" <<'EOF'
import hashlib, random, sys

n = int(sys.argv[1])
rng = random.Random(5)
rows = []
for i in range(n):
    text = "%x" % rng.getrandbits(8000) + " row %d" % i * 180
    rows.append((rng.getrandbits(60), text, [i, i + 1.5]))
index = {row[1]: row[0] for row in rows}
rows.sort()
text = hashlib.sha256()
for key, name, pair in rows:
    assert index[name] == key
    text.update(b"%d %s %r" % (key, name.encode(), pair[1]))
words = {}
for key, name, pair in rows[:: max(1, n // 10000)]:
    words.setdefault(key % 97, []).append(name)
for k in sorted(words):
    text.update(("%d %d %s" % (k, len(words[k]), words[k][0])).encode())
del rows[::2]
copy = [(b, a) for a, b, c in rows]
copy.sort()
text.update(repr(copy[:1000] + copy[-1000:]).encode())
print(text.hexdigest(), len(copy))
EOF
n=$(scaled 98000)
export PYTHONHASHSEED=0
# The interpreter itself: python3 may be a script that looks for it.
python=$(python3 -c 'import sys; print(sys.executable)')
native python 120 "$python" "$work/build.py" "$n"
peak=$(peak_mib "$work/python.native.rss")
note "native: $peak MiB, $(cut -d' ' -f3 "$work/python.native.rss") ms"
ram=$((peak / 2 < 24 ? 24 : peak / 2))
budgeted python 240 "$ram" "$python" "$work/build.py" "$n"
is "$(cat "$work/python.out")" "$(cat "$work/python.native.out")" "python3 prints what it prints without quire"
finish
