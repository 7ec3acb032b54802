#!/bin/bash
# python3 builds, sorts and hashes hundreds of megabytes of objects at half of its native peak.
. "$(dirname "$0")/lib.sh"
. "$here/workloads.sh"
needs_quire
needs python3

python_objects >"$work/build.py"
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
