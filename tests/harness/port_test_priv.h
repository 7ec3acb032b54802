/* Inside of the test port. */
#ifndef QR_TEST_PORT_TEST_PRIV_H
#define QR_TEST_PORT_TEST_PRIV_H

#include <pthread.h>

#include "base/base.h"
#include "port_test.h"

#define PORT_TEST_THREADS 64u

struct port_test_thread {
	pthread_t thread;
	bool is_used;
	void (*entry)(void *argument);
	void *argument;
	char name[16];
};

struct port_test_injection {
	uint32_t countdown; /* 0: none pending */
	uint32_t nr_more;   /* injections after the first one, or pages that are done before it */
	int error;
};

struct port_test_file {
	uint8_t *bytes;
};

/* One mmu lock for all spaces of a port: a frame's state belongs to all of them. */
struct qr_port {
	uint32_t nr_frames;
	uint8_t *pool;
	uint8_t *aside;         /* (mmu) exclusive mode: [frame] content of mapped frames */
	uint32_t *nr_mappings;  /* (mmu) [frame] */
	bool is_exclusive;
	pthread_mutex_t mmu;
	struct port_test_injection fail_translation[3]; /* (mmu) [enum port_test_op] */
	uint32_t chaos_one_in;  /* (mmu) */
	uint64_t chaos_state;   /* (mmu) */
	struct port_test_counts counts; /* atomic */
	struct port_test_thread threads[PORT_TEST_THREADS]; /* (threads_lock) */
	pthread_mutex_t threads_lock;
	pthread_mutex_t io_lock;
	pthread_cond_t io_queued;
	pthread_t io_worker;
	bool is_io_async, has_io_worker, is_io_ending;
	uint32_t nr_files_max, nr_files; /* (io) */
	uint64_t capacity_bytes;
	struct port_test_file files[QR_MAX_SWAP_FILES]; /* (io) */
	struct qr_io_request *io_queue;  /* (io) linked through port_private */
	struct port_test_injection fail_io[2]; /* (io) [is_write] */
	struct port_test_injection fail_submit; /* (io) */
	struct port_test_injection fail_file;   /* (io) */
	port_test_grow_fn grow;
	void *grow_context;
	uint32_t nr_spaces; /* (mmu) */
};

#define count_add(port, field, amount) ((void)__atomic_fetch_add(&(port)->counts.field, (amount), __ATOMIC_RELAXED))

/* Panics with the text of a broken precondition of port.h. */
#define port_test_must(condition) port_test_must_at(condition, #condition)
#define port_test_must_at(condition, text)                                                                             \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			qr_port_panic(__FILE__, __LINE__, "port contract: " text);                                     \
	} while (0)

/* The port's own mutexes, one at a time: an expected panic releases the one that is held. */
void port_test_lock(pthread_mutex_t *mutex);
void port_test_unlock(pthread_mutex_t *mutex);

/* Counts an injection down; true when it strikes now. */
bool port_test_strikes(struct port_test_injection *injection);

void port_test_io_init(struct qr_port *port);
void port_test_io_destroy(struct qr_port *port);

#endif
