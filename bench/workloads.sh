# The real programs of bench/programs.sh and bench/policies.sh; sourced. Both set root, build, work (a scratch folder),
# scale (per cent of the full size) and the array wrap: the command that the program runs under.
# Programs: sort, python, sqlite, redis (zipf reads, one in ten a write), graph (breadth-first search).
. "$root/tests/system/workloads.sh"
export LC_ALL=C PYTHONHASHSEED=0

# scaled N
scaled()
{
	echo $((($1 * scale + 99) / 100))
}

prepare_sort() { "$build/bench/gendata" "$(scaled 384)" 7 600 >"$work/text"; mkdir -p "$work/tmp"; }
prepare_python() { python_objects >"$work/build.py"; }
prepare_sqlite() { sql_events "$(scaled 250000)" >"$work/load.sql"; }
prepare_redis() { :; }
prepare_graph() { :; }
run_sort() { sort -S "$(scaled 384)M" --parallel=2 -T "$work/tmp" "$work/text" | cksum; }
run_python() { "$(python3 -c 'import sys; print(sys.executable)')" "$work/build.py" "$(scaled 80000)"; }
run_sqlite() { sqlite3 -batch -init /dev/null :memory: ".read $work/load.sql" | cksum; }
run_graph() { "$build/bench/graph" "$(scaled 3000000)" 8 1; }
# The client is outside the budget.
run_redis()
{
	local client="timeout 500 python3 $root/tests/system/redis_client.py $work/socket" server
	rm -f "$work/socket"
	"${wrap[@]}" redis-server --port 0 --unixsocket "$work/socket" --save "" --appendonly no --daemonize no \
		--dir "$work" >"$work/redis.log" 2>&1 &
	server=$!
	$client wait && $client fill "$(scaled 190000)" && $client load "$(scaled 190000)" "$(scaled 150000)"
	local status=$?
	redis-cli -s "$work/socket" shutdown nosave >/dev/null 2>&1
	wait $server
	return $status
}
export -f run_sort run_python run_sqlite run_graph scaled

# run_program NAME: under the command in wrap; the output goes to standard output.
run_program()
{
	export work build scale
	if [ "$1" = redis ]; then
		run_redis
	else
		"${wrap[@]}" bash -o pipefail -c "run_$1" </dev/null
	fi
}
