#!/bin/bash
# Who may include whom. An include that breaks the layers is a design error even where it compiles.
. "$(dirname "$0")/lib.sh"

# layer NAME ALLOWED-REGEX FILES...: every include of the files matches the expression.
layer()
{
	local name=$1 allowed=$2
	shift 2
	grep -nE '^[[:space:]]*#[[:space:]]*include' "$@" /dev/null |
		grep -vE "include[[:space:]]+[<\"]($allowed)[>\"]" >"$work/log"
	[ ! -s "$work/log" ]
	result $? "$name" "$work/log"
}

modules=$(ls core | paste -sd'|')
layer "core includes only core, port.h, err.h and the compiler's headers" \
	"std(bool|def|int|arg)\.h|quire/(port|err)\.h|pte\.h|($modules)/[a-z_0-9]+\.h|[a-z_0-9]+_priv\.h|[a-z_0-9]+\.h" \
	$(find core arch -name '*.[ch]')
# A quoted name without a folder must be a header of the file's own folder, or arch's.
for f in $(find core -name '*.[ch]'); do
	for h in $(sed -nE 's|^#include "([a-z_0-9]+\.h)".*|\1|p' "$f"); do
		[ -f "$(dirname "$f")/$h" ] || [ -f "arch/x86_64/$h" ] || echo "$f: $h"
	done
done >"$work/log"
[ ! -s "$work/log" ]
result $? "core's short includes stay in their folder" "$work/log"
grep -nE '_priv\.h"' $(find core -name '*.[ch]') | awk -F'[:"]' '{
	n = split($1, at, "/"); folder = at[n - 1]; m = split($4, to, "/");
	if (m > 1 && to[m - 1] != folder) print $0 }' >"$work/log"
[ ! -s "$work/log" ]
result $? "private headers stay in their folder" "$work/log"
grep -nE '^#include [<"]' include/quire/quire.h | grep -vE '<(stddef|stdint)\.h>|<quire/err\.h>' >"$work/log"
[ ! -s "$work/log" ]
result $? "quire.h needs only stddef.h, stdint.h and err.h" "$work/log"

if ls shim/*.c >/dev/null 2>&1; then
	grep -nE '^#include "' shim/*.[ch] |
		grep -vE '"(alloc/alloc|slab/slab|sync/[a-z]+|base/[a-z]+|ds/[a-z]+|page/frame|stat/stat)\.h"' |
		grep -vE '"(process/)?(domain|pin|sigbus)\.h"' |
		while IFS= read -r line; do
			h=$(echo "$line" | sed -E 's|.*#include "([^"]+)".*|\1|')
			[ -f "shim/$h" ] || echo "$line"
		done >"$work/log"
	[ ! -s "$work/log" ]
	result $? "the shim includes of core only the allocators" "$work/log"
else
	skip "the shim includes of core only the allocators" "no shim"
fi
if ls cli/*.c >/dev/null 2>&1; then
	# Claims about sizes are answered by the sizes of the built core.
	grep -nE '^#include "(alloc|aspace|fault|lru|page|pgtable|reclaim|rmap|slab|swap|vmm)/' cli/*.[ch] cli/lab/*.[ch] \
		>"$work/log"
	[ ! -s "$work/log" ]
	result $? "the command line includes nothing of core but stat/" "$work/log"
else
	skip "the command line includes nothing of core but stat/" "no cli"
fi
grep -nE '#[[:space:]]*include[[:space:]]+[<"][^>"]*\.c[>"]' $(c_files) >"$work/log"
[ ! -s "$work/log" ]
result $? "no .c file is included" "$work/log"
grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b' $(find core -name '*.c') $(find core -name '*.h' | grep -v '^core/base/') |
	grep -vE '#[[:space:]]*ifndef QR_[A-Z0-9_]+_H$|#[[:space:]]*if(def)?[[:space:]]+\(?!?QR_DEBUG' >"$work/log"
[ ! -s "$work/log" ]
result $? "conditional compilation stays in arch, ports and core/base (QR_DEBUG apart)" "$work/log"
checks_done
