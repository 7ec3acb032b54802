/* The table of mechanisms with rivals. See choices.h. */
#include "vmm/choices.h"

/* Arrays and not pointers, so that the table needs no relocation. */
static const struct qr_choice table[] = {
	{
		.name = "lru-batch",
		.help = "LRU changes that share one take of the list lock: 14 per CPU, or 0 for a take each",
		.values = {[QR_LRU_BATCHED] = "14", [QR_LRU_UNBATCHED] = "0"},
		.offset = offsetof(struct qr_choices, lru_batch),
	},
	{
		.name = "lru-scope",
		.help = "what has LRU lists and a lock: CPU clusters or nodes of each group; nodes; zones; one for all",
		.values = {[QR_LRU_CLUSTER] = "cluster",
			   [QR_LRU_NODE] = "node",
			   [QR_LRU_GLOBAL] = "global",
			   [QR_LRU_GROUP] = "group",
			   [QR_LRU_ZONE] = "zone"},
		.offset = offsetof(struct qr_choices, lru_scope),
	},
	{
		.name = "pcp",
		.help = "per-CPU lists of free frames: one that adapts its size, hot and cold ones with fixed marks, "
			"none",
		.values = {[QR_PCP_AUTO] = "auto", [QR_PCP_HOT_COLD] = "hot-cold", [QR_PCP_NONE] = "none"},
		.offset = offsetof(struct qr_choices, pcp),
	},
	{
		.name = "node-order",
		.help = "the nodes that an allocation tries after its own: the nearest first, or upward by number",
		.values = {[QR_NODE_DISTANCE] = "distance", [QR_NODE_ROUND_ROBIN] = "round-robin"},
		.offset = offsetof(struct qr_choices, node_order),
	},
	{
		.name = "mmap-lock",
		.help = "what a fault holds: its VMA's lock, or a reader-writer lock of the address space",
		.values = {[QR_MMAP_LOCK_VMA] = "vma", [QR_MMAP_LOCK_RWSEM] = "rwsem"},
		.offset = offsetof(struct qr_choices, mmap_lock),
	},
	{
		.name = "pt-lock",
		.help = "the lock of page-table entries: one per page-table page, or one per address space",
		.values = {[QR_PT_LOCK_SPLIT] = "split", [QR_PT_LOCK_ASPACE] = "aspace"},
		.offset = offsetof(struct qr_choices, pt_lock),
	},
	{
		.name = "reclaim",
		.help = "what is reclaimed: young or protected folios, balanced by what returns, or the oldest of all",
		.values = {[QR_RECLAIM_BALANCED] = "balanced", [QR_RECLAIM_FIFO] = "fifo"},
		.offset = offsetof(struct qr_choices, reclaim),
	},
};

static bool is_same(const char *left, const char *right)
{
	while (*left && *left == *right) {
		left++;
		right++;
	}
	return *left == *right;
}

/* Looks value up; QR_MAX_CHOICE_VALUES if the mechanism has none of that name. */
static uint32_t find_value(const struct qr_choice *choice, const char *value)
{
	for (uint32_t i = 0; i < QR_MAX_CHOICE_VALUES && choice->values[i][0]; i++) {
		if (is_same(choice->values[i], value))
			return i;
	}
	return QR_MAX_CHOICE_VALUES;
}

static uint8_t *value_of(struct qr_choices *choices, const struct qr_choice *choice)
{
	return (uint8_t *)choices + choice->offset;
}

const struct qr_choice *qr_choices_list(uint32_t *nr)
{
	*nr = QR_ARRAY_SIZE(table);
	return table;
}

int qr_choices_parse(struct qr_choices *choices, const char *name, const char *value)
{
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(table); i++) {
		uint32_t found;

		if (!is_same(table[i].name, name))
			continue;
		found = find_value(&table[i], value);
		if (found == QR_MAX_CHOICE_VALUES)
			return QR_EINVAL;
		*value_of(choices, &table[i]) = (uint8_t)found;
		return 0;
	}
	return QR_ENOENT;
}

const char *qr_choices_value(const struct qr_choices *choices, const struct qr_choice *choice)
{
	return choice->values[((const uint8_t *)choices)[choice->offset]];
}

bool qr_choices_is_valid(const struct qr_choices *choices)
{
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(table); i++) {
		uint8_t value = ((const uint8_t *)choices)[table[i].offset];

		if (value >= QR_MAX_CHOICE_VALUES || !table[i].values[value][0])
			return false;
	}
	return true;
}
