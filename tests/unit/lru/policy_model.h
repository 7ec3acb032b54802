/* Plain models of the page replacement policies: arrays that are searched from end to end, for few pages. */
#ifndef QR_TEST_POLICY_MODEL_H
#define QR_TEST_POLICY_MODEL_H

#include "lru/policy.h"

#define MODEL_MAX_PAGES 256u
#define MODEL_NOBODY UINT32_MAX

/* Pages in order; [0] is the newest. */
struct model_list {
	uint32_t pages[2 * MODEL_MAX_PAGES];
	uint32_t nr;
};

struct model {
	const struct model_ops *ops;
	uint32_t capacity; /* without the pool */
	uint32_t pool_capacity;
	bool is_sampled;
	struct model_list lists[4];
	struct model_list pool;
	bool is_resident[MODEL_MAX_PAGES];
	uint32_t nr_resident;
	uint32_t refs[MODEL_MAX_PAGES];
	uint32_t stamp[MODEL_MAX_PAGES];
	uint32_t left; /* given up by this access */
	uint32_t hands[3]; /* indices, or pages */
	uint32_t target;
	uint32_t clock, clock_min;
	struct model *experts[2]; /* of duel */
	/* Of balanced; the arrays are [young, protected]. */
	double log_weight;
	uint32_t nr_given_up[2], nr_returned[2], tails[2];
	uint32_t nr_late;
};

struct model_ops {
	const char *name;
	void (*init)(struct model *model);
	void (*touch)(struct model *model, uint32_t page);
	void (*fault)(struct model *model, uint32_t page, enum qr_policy_why why);
	/* Whether a page that is not resident is remembered. */
	bool (*is_ghost)(const struct model *model, uint32_t page);
};

/* The model of the policy of that name; NULL if there is none. */
const struct model_ops *model_find(const char *name);
void model_init(struct model *model, const struct model_ops *ops, uint32_t capacity, uint32_t pool_share);
void model_free(struct model *model);
/* victim: MODEL_NOBODY if none left. */
void model_access(struct model *model, uint32_t page, bool *is_hit, bool *was_idle, uint32_t *victim);

#endif
