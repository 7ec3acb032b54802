/* What the policies share: lists of entries, and how pages come, go and are remembered. */
#ifndef QR_CORE_LRU_POLICY_PRIV_H
#define QR_CORE_LRU_POLICY_PRIV_H

#include "lru/policy.h"

#define QR_POLICY_NO_LIST QR_POLICY_MAX_LISTS

extern const struct qr_policy_ops qr_policy_lru, qr_policy_fifo, qr_policy_clock, qr_policy_2q, qr_policy_arc,
	qr_policy_s3fifo, qr_policy_sieve, qr_policy_mglru, qr_policy_split, qr_policy_clockpro, qr_policy_duel,
	qr_policy_balanced;

static inline bool qr_policy_is_full(const struct qr_policy *policy)
{
	return policy->nr_resident >= policy->capacity;
}

static inline uint32_t qr_policy_tail(const struct qr_policy *policy, uint32_t list)
{
	return policy->lists[list].tail;
}

static inline void qr_policy_add_head(struct qr_policy *policy, uint32_t list, uint32_t entry)
{
	struct qr_policy_list *to = &policy->lists[list];
	struct qr_policy_entry *own = &policy->entries[entry];

	own->list = (uint8_t)list;
	own->prev = QR_POLICY_NONE;
	own->next = to->head;
	if (to->head != QR_POLICY_NONE)
		policy->entries[to->head].prev = entry;
	else
		to->tail = entry;
	to->head = entry;
	to->nr++;
}

/* Takes the entry off the list that it is on. */
static inline void qr_policy_take(struct qr_policy *policy, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry];
	struct qr_policy_list *from = &policy->lists[own->list];

	if (own->prev != QR_POLICY_NONE)
		policy->entries[own->prev].next = own->next;
	else
		from->head = own->next;
	if (own->next != QR_POLICY_NONE)
		policy->entries[own->next].prev = own->prev;
	else
		from->tail = own->prev;
	from->nr--;
	own->list = QR_POLICY_NO_LIST;
}

static inline void qr_policy_move_head(struct qr_policy *policy, uint32_t list, uint32_t entry)
{
	qr_policy_take(policy, entry);
	qr_policy_add_head(policy, list, entry);
}

static inline bool qr_policy_is_on(const struct qr_policy *policy, uint32_t list, uint32_t entry)
{
	return policy->entries[entry].list == list;
}

/* On the list of another entry, right before that one: nearer to the head. */
static inline void qr_policy_add_before(struct qr_policy *policy, uint32_t other, uint32_t entry)
{
	struct qr_policy_entry *own = &policy->entries[entry], *behind = &policy->entries[other];

	if (behind->prev == QR_POLICY_NONE) {
		qr_policy_add_head(policy, behind->list, entry);
		return;
	}
	own->list = behind->list;
	own->next = other;
	own->prev = behind->prev;
	policy->entries[own->prev].next = entry;
	behind->prev = entry;
	policy->lists[own->list].nr++;
}

/* The page's entry, QR_POLICY_NONE if it has none. */
uint32_t qr_policy_entry_of(const struct qr_policy *policy, uint64_t page);

/* The page becomes resident, at the head of a list; its entry is on none. */
void qr_policy_enter(struct qr_policy *policy, uint32_t list, uint32_t entry);
/* The same for an entry that the policy itself has put, or is about to put, on a list. */
void qr_policy_settle(struct qr_policy *policy, uint32_t entry);
/* The policy gives a resident page up: takes it off its list. The caller may put the entry on a list of ghosts, else
 * it is forgotten once the page has left. Once per fault. */
void qr_policy_leave(struct qr_policy *policy, uint32_t entry);
/* The same, but the entry stays where it is on its list, as a ghost. */
void qr_policy_leave_ghost(struct qr_policy *policy, uint32_t entry);
/* Takes a ghost off its list; it is forgotten, unless it is idle still. */
void qr_policy_forget(struct qr_policy *policy, uint32_t entry);

/* Plain policies: nothing is done at a touch, or the page is only marked as touched. */
void qr_policy_touch_ignored(struct qr_policy *policy, uint32_t entry);
void qr_policy_touch_marked(struct qr_policy *policy, uint32_t entry);

#endif
