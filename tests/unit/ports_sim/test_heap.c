/* The heap of what happens next, against an array. */
#include "sim.h"
#include "tap.h"

#define NR_MODEL 300u

static uint64_t keys[NR_MODEL]; /* [id], QR_SIM_NEVER: not there */

static uint32_t model_first(void)
{
	uint32_t first = 0;

	for (uint32_t id = 1; id < NR_MODEL; id++) {
		if (keys[id] < keys[first])
			first = id;
	}
	return first;
}

static void test_random(void)
{
	uint64_t seed = tap_seed();

	for (uint32_t id = 0; id < NR_MODEL; id++)
		keys[id] = QR_SIM_NEVER;
	for (uint32_t round = 0; round < 200000 && !tap_has_failed(); round++) {
		uint32_t id = tap_random_below(&seed, NR_MODEL);
		/* Few different keys: many are equal. */
		uint64_t key = tap_random_below(&seed, 500), popped;

		switch (tap_random_below(&seed, 4)) {
		case 0:
			qr_sim_heap_set(id, key);
			keys[id] = key;
			break;
		case 1:
			qr_sim_heap_remove(id);
			keys[id] = QR_SIM_NEVER;
			break;
		case 2:
			if (keys[id] == QR_SIM_NEVER)
				qr_sim_heap_push(id, keys[id] = key);
			break;
		default:
			tap_check_equal(qr_sim_heap_first(), keys[model_first()]);
			if (qr_sim_heap_is_empty())
				break;
			id = model_first();
			tap_check_equal(qr_sim_heap_pop(&popped), id);
			tap_check_equal(popped, keys[id]);
			keys[id] = QR_SIM_NEVER;
		}
		if (round % 1000 == 0)
			tap_check(qr_sim_heap_is_valid());
	}
}

static const struct tap_test tests[] = {
	{"heap_random_operations_equal_model", test_random},
};

int main(int argc, char **argv)
{
	return TAP_RUN(tests, argc, argv);
}
