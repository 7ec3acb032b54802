#!/bin/bash
# Builds the fuzz targets with clang and runs each for SECONDS [60] from its corpus; what fails is left in the folder
# WORK, or in a temporary one.
# Usage: run.sh [SECONDS] [WORK]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
work=${2:-$(mktemp -d)}
clang=$(command -v clang-19 || command -v clang) || { echo "clang is not installed" >&2; exit 77; }
mkdir -p "$work/corpus"
cp "$root"/tests/fuzz/corpus/* "$work/corpus"
"$clang" -std=gnu11 -g -O1 -D_GNU_SOURCE -Wall -Wextra -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -I"$root/include" -I"$root/core" -I"$root/cli" \
	"$root/tests/fuzz/fuzz_trace.c" "$root"/cli/replay/{trace,source,format_oracle,format_text,format_lackey}.c \
	"$root/cli/lab/words.c" "$root/cli/format.c" -ljansson -lz -lzstd -o "$work/fuzz_trace"
cd "$work"
./fuzz_trace -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 corpus
