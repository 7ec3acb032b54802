#!/bin/bash
# `quire replay`: its options, formats, errors and files; misses against a plain reckoning in Python.
. "$(dirname "$0")/lib.sh"
[ -x "$QUIRE" ] || skip_all "no $QUIRE"
needs python3 gzip zstd
export TMPDIR=$work/tmp
mkdir "$TMPDIR"

replay()
{
	asks "$1" replay "${@:2}"
}

says()
{
	refuses "$1" "$2" replay "${@:3}"
}

# ---- Wrong questions ----
printf '1\n2\n3\n1\n' >"$work/t"
says 125 "no trace given"
says 125 "unknown policy 'clok'; did you mean 'clock'" "$work/t" --policy clok
says 125 "unknown policy 'zzzzzzzz'; there are lru" "$work/t" --policy lru,zzzzzzzz
says 125 "unknown policy ''" "$work/t" --policy lru,
says 125 "unknown format 'txt'; did you mean 'text'" "$work/t" --format txt
says 125 "unknown pattern 'lop'; did you mean 'loop'" --generate lop
says 125 "unknown option '--polcy'; did you mean '--policy'" "$work/t" --polcy lru
says 125 "unknown option '-x'" "$work/t" -x
says 125 "'--sizes' needs a value" "$work/t" --sizes
says 125 "'--json=1' takes no value" "$work/t" --json=1
for size in "" 0 0% 101% 5%% 5x -5% 1,,2 nan% 0x10; do
	says 125 "is no size" "$work/t" --sizes "$size"
done
for size in 0 3 8 4095 1e3; do
	says 125 "not a power of 2" "$work/t" --page-size "$size"
done
for mode in unmap unmap:1/1 unmap:1/0 unmap:16 unmap:1/x bit; do
	says 125 "neither 'none' nor like" "$work/t" --sampling "$mode"
done
for percent in -1 100 x 5x nan; do
	says 125 "not a number from 0" "$work/t" --warmup "$percent"
done
for option in limit jobs pages accesses seed; do
	says 125 "--$option 0 is not a number" "$work/t" --$option 0
done
says 125 "is too much" --generate loop "$work/t"
says 125 "No such file" "$work/t" --svg "$work/no/x.svg"
replay 0 --help
grep -q "^Usage: quire replay" "$work/out"
ok $? "--help prints the usage" "$work/out"

# ---- Broken traces: the place, and what was expected ----
says 1 "no.trace: cannot be opened: No such file" "$work/no.trace"
says 1 "cannot be read: Is a directory" "$work"
: >"$work/empty"
says 1 "is empty" "$work/empty"
printf '# nothing\n\n' >"$work/comments"
says 1 "has no accesses" "$work/comments"
printf '1\n2\nthree\n4\n' >"$work/bad"
says 1 "line 3 \(byte 4\): expected a page number or a hexadecimal address.*found 'three'; --limit 2 " "$work/bad"
replay 0 "$work/bad" --limit 2 --json
json 'x["traces"][0]["accesses"] == 2' "what comes before can be replayed"
printf '18446744073709551616\n' >"$work/bad"
says 1 "line 1 \(byte 0\)" "$work/bad"
printf '1\n2\0003\n' >"$work/bad"
says 1 "line 2 \(byte 2\): expected a page number" "$work/bad" --format text
head -c 5000 /dev/zero | tr '\0' 1 >"$work/bad"
says 1 "line 1 \(byte 0\) has more than 4096 characters" "$work/bad"
printf 'time,page,size\n1,5,4096\n2,x,4096\n' >"$work/bad"
says 1 "line 3 \(byte 24\): expected a number in column 2, found '2,x,4096'" "$work/bad"
printf 'a,b\n1,5\n' >"$work/bad"
says 1 "line 1 \(byte 0\): expected names of columns" "$work/bad" --format csv
printf ' L 1000,8\n L zz,8\n' >"$work/bad"
says 1 "line 2 \(byte 10\): expected a line of lackey" "$work/bad"
python3 -c '
import struct, sys
sys.stdout.buffer.write(b"".join(struct.pack("<IQIq", i, i % 7, 4096, -1) for i in range(100)) + b"123")' >"$work/oracle"
says 1 "byte 2400: expected a record of 24 bytes .*found 3 bytes and the end; --limit 100 " "$work/oracle"
head -c 2400 "$work/oracle" >"$work/oracle.ok"
gzip -c "$work/oracle.ok" | head -c 100 >"$work/cut.gz"
says 1 "ends at compressed byte 100 within a compressed stream: it was cut off" "$work/cut.gz"
zstd -qc "$work/oracle.ok" | head -c 30 >"$work/cut.zst"
says 1 "ends at compressed byte 30 within" "$work/cut.zst"
python3 -c '
import gzip, random, sys
data = bytearray(gzip.compress(bytes(random.Random(1).randbytes(9000))))
data[5000] ^= 1
sys.stdout.buffer.write(data)' >"$work/damaged.gz"
says 1 "compressed byte [0-9]*: damaged gzip data" "$work/damaged.gz"
replay 1 "$work/bad" "$work/oracle.ok" --json -q
json 'len(x["traces"]) == 1 and x["traces"][0]["format"] == "oracle"' "the other traces are shown all the same"

# ---- Formats ----
python3 - "$work" <<'END'
import random, struct, sys
r = random.Random(7)
pages = [r.randrange(300) if r.random() < .5 else min(299, int(r.expovariate(.05))) for _ in range(20000)]
def put(name, text):
    open(sys.argv[1] + "/" + name, "wb").write(text if isinstance(text, bytes) else text.encode())
put("decimal", "".join(f"{p}\n" for p in pages))
put("hex", "# addresses\r\n\r\n" + "".join(f"  0x{p * 4096 + r.randrange(4096):x}\t\r\n" for p in pages))
put("csv", "time;\"Page\";size\n" + "".join(f"{i};\"{p}\";1\n" for i, p in enumerate(pages)))
put("addr", "addr,op\n" + "".join(f"{p * 4096 + 5},R\n" for p in pages).rstrip())
put("tabs", "op\tvaddr\n" + "".join(f"R\t0x{p * 4096 + 5:x}\n" for p in pages))
put("lackey", "==1== Lackey\n" + "".join(f"{r.choice(['I  ', ' L ', ' S ', ' M '])}{p * 4096 + 8:08x},8\n" for p in pages))
put("oracle", b"".join(struct.pack("<IQIq", i, p, 4096, -1) for i, p in enumerate(pages)))
put("sparse", b"".join(struct.pack("<IQIq", i, (p * 0x9e3779b97f4a7c15) % 2**64, 4096, -1) for i, p in enumerate(pages)))

def min_misses(size):
    following, last = [0] * len(pages), {}
    for i in range(len(pages) - 1, -1, -1):
        following[i] = last.get(pages[i], 1 << 60)
        last[pages[i]] = i
    held, misses = {}, 0
    for i, p in enumerate(pages):
        if p not in held:
            misses += 1
            if len(held) == size:
                del held[max(held, key=held.get)]
        held[p] = following[i]
    return misses
def lru_misses(size):
    held, misses = {}, 0
    for p in pages:
        if p in held:
            del held[p]
        else:
            misses += 1
            if len(held) == size:
                del held[next(iter(held))]
        held[p] = 1
    return misses
distinct = len(set(pages))
put("wanted", repr([[f(max(1, int(distinct * s / 100))) for s in (1, 10, 50, 100)] for f in (min_misses, lru_misses)]))
END
cat "$work/decimal" | gzip -c >"$work/decimal.gz"
head -n 9000 "$work/decimal" | gzip -c >"$work/two.gz"
tail -n +9001 "$work/decimal" | gzip -c >>"$work/two.gz"
zstd -q "$work/oracle" -o "$work/oracle.zst"
for name in decimal hex csv addr tabs lackey oracle sparse decimal.gz two.gz oracle.zst; do
	replay 0 "$work/$name" --policy min,lru --sizes 1%,10%,50%,100% --json -q
	json "[[r['misses'] for r in x['traces'][0]['results']][i:i + 4] for i in (0, 4)] == $(cat "$work/wanted")" \
		"$name: misses of min and lru are as a plain reckoning finds them"
done
"$QUIRE" replay - --policy lru --sizes 10% --json <"$work/oracle.zst" >"$work/out" 2>"$work/err"
json 'x["traces"][0]["accesses"] == 20000' "a trace comes from standard input"
printf ' L 0ffe,4\n L 1000,8\n' >"$work/span"
replay 0 "$work/span" --sizes 100% --json
json 'x["traces"][0]["pages"] == 2 and x["traces"][0]["accesses"] == 3' "an access that spans pages touches both"
replay 0 "$work/span" --sizes 100% --page-size 64K --json
json 'x["traces"][0]["pages"] == 1' "--page-size"

# ---- What is printed ----
replay 0 "$work/decimal" --json
json 'min(r["misses"] for r in x["traces"][0]["results"] if r["size"] == "5%") == [r["misses"] for r in
	x["traces"][0]["results"] if r["size"] == "5%" and r["policy"] == "min"][0]' "nothing misses less than the optimum"
cp "$work/out" "$work/first"
replay 0 "$work/decimal" --json --jobs 1
cmp -s "$work/out" "$work/first"
ok $? "one process finds the same as two"
replay 0 "$work/decimal" --policy lru --sizes 1M,1%,64K,1G --json
json '[r["pages"] for r in x["traces"][0]["results"]] == [256, 3, 16, x["traces"][0]["pages"]]' "sizes in bytes and per cent"
replay 0 "$work/decimal" --policy lru --sizes 100% --warmup 50 --json
json 'x["traces"][0]["counted"] == 10000 and x["traces"][0]["results"][0]["misses"] < 30' "the warm-up is not counted"
replay 0 "$work/decimal" --policy lru,min --sizes 10% --sampling unmap:1/16 --json
json 'x["sampling_share"] == 16 and x["traces"][0]["results"][0]["idle_faults"] > 0' "sampled, some hits cost a fault"
json 'x["traces"][0]["results"][1]["idle_faults"] == 0' "which the optimum does not need"
replay 0 "$work/decimal" "$work/t" --sizes 10%,20%
is "$(grep -c accesses.to "$work/out")" 2 "a table per trace"
awk '/^policy/ { width = length($0) } /^(lru|min|s3-fifo)/ { if (length($0) != width) exit 1 }' "$work/out"
ok $? "columns are aligned" "$work/out"
[ ! -s "$work/err" ]
ok $? "no progress where there is no terminal" "$work/err"
if command -v gnuplot >/dev/null; then
	replay 0 "$work/decimal" "$work/t" --svg "$work/x.svg" --json
	grep -q '</svg>' "$work/x.svg" && python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$work/x.svg"
	ok $? "--svg draws curves"
	cp "$work/x.svg" "$work/y.svg"
	replay 1 "$work/bad" --svg "$work/x.svg"
	cmp -s "$work/x.svg" "$work/y.svg"
	ok $? "a broken trace leaves the file of the last time as it was"
fi
"$QUIRE" replay "$work/decimal" >/dev/full 2>"$work/err"
is $? 125 "a full disk is a failure"
TMPDIR=$work/nowhere replay 1 "$work/decimal"
grep -q "no temporary file" "$work/err"
ok $? "and so is no place for the temporary file" "$work/err"

# ---- Patterns ----
for pattern in scan+hot loop zipf-shift; do
	replay 0 --generate $pattern --pages 500 --accesses 20000 --seed 3
	is "$(wc -l <"$work/out")" 20000 "$pattern: as many accesses as asked for"
	mv "$work/out" "$work/$pattern"
	is "$(sort -un "$work/$pattern" | wc -l)" 500 "$pattern: as many pages"
	replay 0 --generate $pattern --pages 500 --accesses 20000 --seed 3
	cmp -s "$work/out" "$work/$pattern"
	ok $? "$pattern: the same seed gives the same trace"
done
"$QUIRE" replay --generate loop >/dev/full 2>"$work/err"
is $? 125 "a trace that cannot be written is a failure"
is "$(find "$TMPDIR" -mindepth 1 | wc -l)" 0 "no temporary file is left"
finish
