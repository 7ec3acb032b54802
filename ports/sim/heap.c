/* What happens next: a binary heap of (time, id) that knows where each id is. Equal times go by id. */
#include "sim.h"

struct node {
	uint64_t key;
	uint32_t id;
};

static struct node heap[QR_SIM_NR_IDS + 1]; /* [1..nr], the children of i are 2i and 2i + 1 */
static uint32_t nr;
static uint32_t place[QR_SIM_NR_IDS]; /* [id], 0: not in the heap */

static bool is_before(struct node left, struct node right)
{
	return left.key < right.key || (left.key == right.key && left.id < right.id);
}

static void put(uint32_t at, struct node node)
{
	heap[at] = node;
	place[node.id] = at;
}

static void sift_up(uint32_t at, struct node node)
{
	for (; at > 1 && is_before(node, heap[at / 2]); at /= 2)
		put(at, heap[at / 2]);
	put(at, node);
}

static void sift_down(uint32_t at, struct node node)
{
	for (;;) {
		uint32_t child = 2 * at;

		if (child < nr && is_before(heap[child + 1], heap[child]))
			child++;
		if (child > nr || !is_before(heap[child], node))
			break;
		put(at, heap[child]);
		at = child;
	}
	put(at, node);
}

static void move(uint32_t at, struct node node)
{
	if (at > 1 && is_before(node, heap[at / 2]))
		sift_up(at, node);
	else
		sift_down(at, node);
}

void qr_sim_heap_push(uint32_t id, uint64_t key)
{
	sift_up(++nr, (struct node){key, id});
}

void qr_sim_heap_set(uint32_t id, uint64_t key)
{
	if (place[id])
		move(place[id], (struct node){key, id});
	else
		qr_sim_heap_push(id, key);
}

void qr_sim_heap_remove(uint32_t id)
{
	uint32_t at = place[id];
	struct node last = heap[nr];

	if (!at)
		return;
	place[id] = 0;
	nr--;
	if (last.id != id)
		move(at, last);
}

uint32_t qr_sim_heap_pop(uint64_t *key)
{
	uint32_t id = heap[1].id;

	*key = heap[1].key;
	qr_sim_heap_remove(id);
	return id;
}

bool qr_sim_heap_is_empty(void)
{
	return !nr;
}

uint64_t qr_sim_heap_first(void)
{
	return nr ? heap[1].key : QR_SIM_NEVER;
}

bool qr_sim_heap_is_valid(void)
{
	uint32_t nr_placed = 0;

	for (uint32_t id = 0; id < QR_SIM_NR_IDS; id++)
		nr_placed += place[id] != 0;
	for (uint32_t i = 1; i <= nr; i++) {
		if (place[heap[i].id] != i || (i > 1 && is_before(heap[i], heap[i / 2])))
			return false;
	}
	return nr_placed == nr;
}
