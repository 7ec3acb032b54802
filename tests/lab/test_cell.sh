#!/bin/bash
# One cell: every workload on every machine, the same seed gives the same outcome, the report has what it should have.
. "$(dirname "$0")/lib.sh"

for workload in fault mmap churn slab lru lock threads private database stream; do
	failed=
	for machine in host numaq epyc; do
		cpus=2
		[ $machine = host ] || cpus=12
		run --workload $workload --machine $machine --cpus $cpus --ms 0.5 --seed 3
		[ $status -eq 0 ] || failed="$failed $machine"
	done
	[ -z "$failed" ]
	result $? "$workload runs on every machine$failed"
done

for workload in fault threads lru; do
	hashes=
	for turn in 1 2 3; do
		run --workload $workload --machine epyc --cpus 24 --ms 0.5 --seed 7
		hashes="$hashes $(field hash)"
	done
	set -- $hashes
	[ $# -eq 3 ] && [ "$1" = "$2" ] && [ "$2" = "$3" ] && [ ${#1} -eq 16 ]
	result $? "$workload: the same seed three times, the same outcome ($*)"
	run --workload $workload --machine epyc --cpus 24 --ms 0.5 --seed 8
	[ "$(field hash)" != "$1" ]
	result $? "$workload: another seed, another outcome"
done

run --workload fault --machine epyc --cpus 4 --ms 0.5 --set pcp=none --param pages=64
python3 - "$work/out" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
for name in ("workload", "machine", "cpus", "seed", "settings", "params", "ops", "virtual_ns", "ops_per_s", "hash",
             "accesses", "host_seconds", "locks", "lines", "counters"):
    assert name in report, name
assert report["settings"]["pcp"] == "none" and report["params"]["pages"] == "64"
assert report["ops"] > 0 and report["virtual_ns"] == 500000
lock = {"name", "site", "use_percent", "contended_percent", "hold_mean_ns", "hold_max_ns", "wait_mean_ns",
        "wait_max_ns", "cpu_percent", "total", "nowait", "spin"}
assert report["locks"] and all(set(row) == lock for row in report["locks"])
sums = [row for row in report["locks"] if not row["site"]]
for row in sums:
    sites = [site for site in report["locks"] if site["site"] and site["name"] == row["name"]]
    assert row["total"] == sum(site["total"] for site in sites) == row["nowait"] + row["spin"]
    assert row["cpu_percent"] <= 100.01
assert any(row["name"] == "zone.lock" for row in sums)
assert report["lines"] and set(report["lines"][0]) == {"symbol", "field", "misses", "invalidations", "cpus", "site"}
assert abs(report["counters"]["faults"] - report["ops"]) <= 8
PY
result $? "the report has what it should have, and its sums are right"

timeout 20 "$cell" list --json >"$work/out" 2>"$work/err" && python3 - "$work/out" <<'PY'
import json, sys
listing = json.load(open(sys.argv[1]))
assert {"fault", "lru", "slab"} <= {workload["name"] for workload in listing["workloads"]}
assert {"host", "numaq", "epyc"} == {machine["name"] for machine in listing["machines"]}
assert all(choice["default"] in choice["values"] for choice in listing["choices"])
PY
result $? "the list is complete"

# Memory that does not suffice: reclaim and swap run as well, and the manager is whole at the end.
run --workload fault --machine host --cpus 2 --ms 20 --param ram-mib=32 --param pages=10000 --param folio=auto
[ $status -eq 0 ] && [ "$(field reclaimed_pages)" -gt 0 ]
result $? "a run short of memory reclaims"

run --workload private --machine epyc --cpus 384 --ms 0.05
[ $status -eq 0 ] && [ "$(field cpus)" = 384 ]
result $? "384 CPUs"
tests_done
