/*
 * The ground of the policies: entries, the hash that finds them, and the second-chance pool of sampled ones.
 *
 * A page has an entry while it is resident, idle in the pool, or a ghost that the policy remembers. An idle page has
 * been given up by the policy, which may have made it a ghost already: that an idle page is touched is then a ghost's
 * hit for the policy, and for the machine no more than a page that is mapped again.
 */
#include "lru/policy_priv.h"

/* 2^64 divided by the golden ratio: Knuth, "The Art of Computer Programming" 3, section 6.4. */
#define HASH_FACTOR 0x9e3779b97f4a7c15ull

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why, struct qr_policy_result *result);
static void settle_left(struct qr_policy *policy, struct qr_policy_result *result);
static void report_victim(struct qr_policy *policy, uint32_t entry, struct qr_policy_result *result);
static uint32_t new_entry(struct qr_policy *policy, uint64_t page);
static void free_if_unused(struct qr_policy *policy, uint32_t entry);
static uint32_t count_entries(const struct qr_policy_ops *ops, const struct qr_policy_config *config);
static uint32_t count_pool(const struct qr_policy_config *config);
static uint64_t bytes_of_entries(uint32_t nr_entries);
static uint32_t hash_bits(uint32_t nr_entries);
static bool is_list_valid(const struct qr_policy *policy, uint32_t list);
static bool is_pool_valid(const struct qr_policy *policy);

static const struct qr_policy_ops *const policies[] = {
	&qr_policy_lru,   &qr_policy_fifo,  &qr_policy_clock, &qr_policy_2q,       &qr_policy_arc,  &qr_policy_s3fifo,
	&qr_policy_sieve, &qr_policy_mglru, &qr_policy_split, &qr_policy_clockpro, &qr_policy_duel, &qr_policy_balanced,
};

const struct qr_policy_ops *qr_policy_at(uint32_t index)
{
	return index < QR_ARRAY_SIZE(policies) ? policies[index] : NULL;
}

const struct qr_policy_ops *qr_policy_find(const char *name)
{
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(policies); i++) {
		const char *own = policies[i]->name;
		uint32_t at = 0;

		while (own[at] && own[at] == name[at])
			at++;
		if (own[at] == name[at])
			return policies[i];
	}
	return NULL;
}

uint64_t qr_policy_bytes(const struct qr_policy_ops *ops, const struct qr_policy_config *config)
{
	uint32_t nr_entries;

	if (!config->capacity || config->capacity > QR_POLICY_MAX_CAPACITY)
		return 0;
	nr_entries = count_entries(ops, config);
	return bytes_of_entries(nr_entries) + (ops->extra_bytes ? ops->extra_bytes(config->capacity) : 0);
}

int qr_policy_init(struct qr_policy *policy, const struct qr_policy_ops *ops, const struct qr_policy_config *config,
		   void *memory)
{
	uint32_t nr_buckets;

	if (!qr_policy_bytes(ops, config))
		return QR_EINVAL;
	memset(policy, 0, sizeof(*policy));
	policy->ops = ops;
	policy->is_sampled = config->pool_share;
	policy->pool_capacity = count_pool(config);
	policy->capacity = config->capacity - policy->pool_capacity;
	policy->nr_entries = count_entries(ops, config);
	policy->entries = memory;
	policy->extra = (char *)memory + bytes_of_entries(policy->nr_entries);
	policy->buckets = (uint32_t *)(policy->entries + policy->nr_entries);
	policy->hash_shift = 64 - hash_bits(policy->nr_entries);
	nr_buckets = 1u << (64 - policy->hash_shift);
	memset(policy->entries, 0, policy->nr_entries * sizeof(*policy->entries));
	memset(policy->buckets, 0xff, nr_buckets * sizeof(*policy->buckets));
	for (uint32_t i = 0; i < policy->nr_entries; i++)
		policy->entries[i].next = i + 1 < policy->nr_entries ? i + 1 : QR_POLICY_NONE;
	policy->left = QR_POLICY_NONE;
	for (uint32_t i = 0; i < QR_POLICY_MAX_LISTS; i++)
		policy->lists[i] = (struct qr_policy_list){QR_POLICY_NONE, QR_POLICY_NONE, 0};
	policy->pool = (struct qr_policy_list){QR_POLICY_NONE, QR_POLICY_NONE, 0};
	for (uint32_t i = 0; i < QR_ARRAY_SIZE(policy->hands); i++)
		policy->hands[i] = QR_POLICY_NONE;
	if (ops->init)
		ops->init(policy);
	return 0;
}

void qr_policy_access(struct qr_policy *policy, uint64_t page, struct qr_policy_result *result)
{
	uint32_t entry = qr_policy_entry_of(policy, page);

	*result = (struct qr_policy_result){.is_hit = true};
	if (entry != QR_POLICY_NONE && policy->entries[entry].is_resident) {
		if (!policy->is_sampled)
			policy->ops->touch(policy, entry);
		return;
	}
	if (entry != QR_POLICY_NONE && policy->entries[entry].is_idle) {
		result->was_idle = true;
		fault(policy, entry, QR_POLICY_RESCUED, result);
		return;
	}
	result->is_hit = false;
	if (entry != QR_POLICY_NONE)
		fault(policy, entry, QR_POLICY_GHOST, result);
	else
		fault(policy, new_entry(policy, page), QR_POLICY_NEW, result);
}

uint32_t qr_policy_entry_of(const struct qr_policy *policy, uint64_t page)
{
	uint32_t entry = policy->buckets[page * HASH_FACTOR >> policy->hash_shift];

	while (entry != QR_POLICY_NONE && policy->entries[entry].page != page)
		entry = policy->entries[entry].hash_next;
	return entry;
}

static void pool_remove(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];

	if (own->idle_prev != QR_POLICY_NONE)
		policy->entries[own->idle_prev].idle_next = own->idle_next;
	else
		policy->pool.head = own->idle_next;
	if (own->idle_next != QR_POLICY_NONE)
		policy->entries[own->idle_next].idle_prev = own->idle_prev;
	else
		policy->pool.tail = own->idle_prev;
	policy->pool.nr--;
	own->is_idle = false;
}

static void pool_add(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];

	own->idle_prev = QR_POLICY_NONE;
	own->idle_next = policy->pool.head;
	if (policy->pool.head != QR_POLICY_NONE)
		policy->entries[policy->pool.head].idle_prev = entry;
	else
		policy->pool.tail = entry;
	policy->pool.head = entry;
	policy->pool.nr++;
	own->is_idle = true;
}

static void fault(struct qr_policy *policy, uint32_t entry, enum qr_policy_why why, struct qr_policy_result *result)
{
	if (why == QR_POLICY_RESCUED)
		pool_remove(policy, entry);
	policy->ops->fault(policy, entry, why);
	QR_ASSERT(policy->entries[entry].is_resident);
	QR_ASSERT(policy->nr_resident <= policy->capacity);
	if (policy->left != QR_POLICY_NONE)
		settle_left(policy, result);
}

/* What the policy gave up goes to the pool, and what does not fit there any more leaves. */
static void settle_left(struct qr_policy *policy, struct qr_policy_result *result)
{
	uint32_t entry = policy->left;

	policy->left = QR_POLICY_NONE;
	if (!policy->pool_capacity) {
		report_victim(policy, entry, result);
		return;
	}
	pool_add(policy, entry);
	if (policy->pool.nr <= policy->pool_capacity)
		return;
	entry = policy->pool.tail;
	pool_remove(policy, entry);
	report_victim(policy, entry, result);
}

static void report_victim(struct qr_policy *policy, uint32_t entry, struct qr_policy_result *result)
{
	result->has_victim = true;
	result->victim = policy->entries[entry].page;
	free_if_unused(policy, entry);
}

static uint32_t new_entry(struct qr_policy *policy, uint64_t page)
{
	uint32_t entry = policy->free;
	uint32_t *bucket = &policy->buckets[page * HASH_FACTOR >> policy->hash_shift];

	QR_BUG_ON(entry == QR_POLICY_NONE);
	policy->free = policy->entries[entry].next;
	policy->entries[entry] =
		(struct qr_policy_entry){.page = page, .hash_next = *bucket, .list = QR_POLICY_NO_LIST};
	*bucket = entry;
	return entry;
}

static void free_if_unused(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];
	uint32_t *link = &policy->buckets[own->page * HASH_FACTOR >> policy->hash_shift];

	if (own->is_resident || own->is_idle || own->list != QR_POLICY_NO_LIST || policy->left == entry)
		return;
	while (*link != entry)
		link = &policy->entries[*link].hash_next;
	*link = own->hash_next;
	own->next = policy->free;
	policy->free = entry;
}

void qr_policy_enter(struct qr_policy *policy, uint32_t list, uint32_t entry)
{
	qr_policy_add_head(policy, list, entry);
	qr_policy_settle(policy, entry);
}

void qr_policy_settle(struct qr_policy *policy, uint32_t entry)
{
	policy->entries[entry].is_resident = true;
	policy->nr_resident++;
}

void qr_policy_leave(struct qr_policy *policy, uint32_t entry)
{
	qr_policy_leave_ghost(policy, entry);
	qr_policy_take(policy, entry);
}

void qr_policy_leave_ghost(struct qr_policy *policy, uint32_t entry)
{
	QR_ASSERT(policy->entries[entry].is_resident && policy->left == QR_POLICY_NONE);
	policy->entries[entry].is_resident = false;
	policy->nr_resident--;
	policy->left = entry;
}

void qr_policy_forget(struct qr_policy *policy, uint32_t entry)
{
	QR_ASSERT(!policy->entries[entry].is_resident);
	qr_policy_take(policy, entry);
	free_if_unused(policy, entry);
}

void qr_policy_touch_ignored(struct qr_policy *policy, uint32_t entry)
{
	(void)policy;
	(void)entry;
}

void qr_policy_touch_marked(struct qr_policy *policy, uint32_t entry)
{
	policy->entries[entry].refs = 1;
}

/* A page that comes has its entry before another's goes. */
static uint32_t count_entries(const struct qr_policy_ops *ops, const struct qr_policy_config *config)
{
	uint32_t nr_ghosts = ops->nr_ghosts ? ops->nr_ghosts(config->capacity - count_pool(config)) : 0;

	return config->capacity + (config->nr_pages ? QR_MIN(nr_ghosts, config->nr_pages) : nr_ghosts) + 2;
}

static uint32_t count_pool(const struct qr_policy_config *config)
{
	if (!config->pool_share || config->capacity < 2)
		return 0;
	return QR_MIN(QR_MAX(config->capacity / config->pool_share, 1u), config->capacity - 1);
}

/* And of the buckets; a multiple of 8, as there are two or more. */
static uint64_t bytes_of_entries(uint32_t nr_entries)
{
	return (uint64_t)nr_entries * sizeof(struct qr_policy_entry) +
	       ((uint64_t)sizeof(uint32_t) << hash_bits(nr_entries));
}

/* As many buckets as entries, or up to twice as many. */
static uint32_t hash_bits(uint32_t nr_entries)
{
	return qr_log2_u64(nr_entries) + 1;
}

bool qr_policy_is_resident(const struct qr_policy *policy, uint64_t page)
{
	uint32_t entry = qr_policy_entry_of(policy, page);

	return entry != QR_POLICY_NONE && (policy->entries[entry].is_resident || policy->entries[entry].is_idle);
}

bool qr_policy_is_valid(const struct qr_policy *policy)
{
	uint32_t nr_used = 0, nr_free = 0, nr_resident = 0, nr_idle = 0;

	for (uint32_t bucket = 0; bucket >> (64 - policy->hash_shift) == 0; bucket++) {
		for (uint32_t i = policy->buckets[bucket]; i != QR_POLICY_NONE; i = policy->entries[i].hash_next) {
			const struct qr_policy_entry *entry = &policy->entries[i];

			if (entry->page * HASH_FACTOR >> policy->hash_shift != bucket || ++nr_used > policy->nr_entries)
				return false;
			if (entry->is_resident && (entry->is_idle || entry->list == QR_POLICY_NO_LIST))
				return false;
			if (!entry->is_resident && !entry->is_idle && entry->list == QR_POLICY_NO_LIST)
				return false;
			nr_resident += entry->is_resident;
			nr_idle += entry->is_idle;
		}
	}
	for (uint32_t i = policy->free; i != QR_POLICY_NONE && nr_free <= policy->nr_entries;
	     i = policy->entries[i].next)
		nr_free++;
	for (uint32_t list = 0; list < QR_POLICY_MAX_LISTS; list++) {
		if (!is_list_valid(policy, list))
			return false;
	}
	return nr_used + nr_free == policy->nr_entries && nr_resident == policy->nr_resident &&
	       nr_idle == policy->pool.nr && nr_resident <= policy->capacity && nr_idle <= policy->pool_capacity &&
	       is_pool_valid(policy);
}

static bool is_list_valid(const struct qr_policy *policy, uint32_t list)
{
	uint32_t prev = QR_POLICY_NONE, nr = 0;

	for (uint32_t i = policy->lists[list].head; i != QR_POLICY_NONE; i = policy->entries[i].next) {
		if (policy->entries[i].prev != prev || policy->entries[i].list != list || ++nr > policy->nr_entries)
			return false;
		prev = i;
	}
	return policy->lists[list].tail == prev && policy->lists[list].nr == nr;
}

static bool is_pool_valid(const struct qr_policy *policy)
{
	uint32_t prev = QR_POLICY_NONE, nr = 0;

	for (uint32_t i = policy->pool.head; i != QR_POLICY_NONE; i = policy->entries[i].idle_next) {
		if (policy->entries[i].idle_prev != prev || !policy->entries[i].is_idle || ++nr > policy->nr_entries)
			return false;
		prev = i;
	}
	return policy->pool.tail == prev && policy->pool.nr == nr;
}
