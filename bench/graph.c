/*
 * A graph in memory and breadth-first searches over it, for bench/programs.sh.
 *
 * usage: graph VERTICES EDGES_PER_VERTEX SEARCHES; prints the sum of all distances and of the vertices reached.
 * Edges go to a near vertex in three of four cases, else anywhere, as in graphs of places or of pages that link.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct graph {
	uint32_t nr_vertices;
	uint32_t degree;
	uint32_t *edges;    /* [vertex * degree + i] */
	uint32_t *distance; /* [vertex] */
	uint32_t *queue;    /* [vertex] */
};

static uint64_t rng_state = 88172645463325252u;

static uint32_t rng(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)(((rng_state >> 32) * below) >> 32);
}

static void build(struct graph *graph)
{
	for (uint32_t v = 0; v < graph->nr_vertices; v++) {
		for (uint32_t i = 0; i < graph->degree; i++) {
			uint32_t far = rng(graph->nr_vertices);
			uint32_t near = (v + rng(4096)) % graph->nr_vertices;

			graph->edges[(uint64_t)v * graph->degree + i] = rng(4) ? near : far;
		}
	}
}

static uint64_t search(struct graph *graph, uint32_t from)
{
	uint32_t head = 0, tail = 0;
	uint64_t sum = 0;

	for (uint32_t v = 0; v < graph->nr_vertices; v++)
		graph->distance[v] = UINT32_MAX;
	graph->distance[from] = 0;
	graph->queue[tail++] = from;
	while (head < tail) {
		uint32_t v = graph->queue[head++];

		sum += graph->distance[v] + 1;
		for (uint32_t i = 0; i < graph->degree; i++) {
			uint32_t to = graph->edges[(uint64_t)v * graph->degree + i];

			if (graph->distance[to] != UINT32_MAX)
				continue;
			graph->distance[to] = graph->distance[v] + 1;
			graph->queue[tail++] = to;
		}
	}
	return sum;
}

int main(int argc, char **argv)
{
	struct graph graph = {0};
	uint32_t nr_searches;
	uint64_t sum = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: graph VERTICES EDGES_PER_VERTEX SEARCHES\n");
		return 2;
	}
	graph.nr_vertices = (uint32_t)strtoul(argv[1], NULL, 10);
	graph.degree = (uint32_t)strtoul(argv[2], NULL, 10);
	nr_searches = (uint32_t)strtoul(argv[3], NULL, 10);
	graph.edges = malloc(sizeof(uint32_t) * graph.degree * (uint64_t)graph.nr_vertices);
	graph.distance = malloc(sizeof(uint32_t) * (uint64_t)graph.nr_vertices);
	graph.queue = malloc(sizeof(uint32_t) * (uint64_t)graph.nr_vertices);
	if (!graph.edges || !graph.distance || !graph.queue || !graph.nr_vertices) {
		fprintf(stderr, "graph: no memory for that many vertices\n");
		return 1;
	}
	build(&graph);
	for (uint32_t i = 0; i < nr_searches; i++)
		sum += search(&graph, rng(graph.nr_vertices));
	printf("%llu\n", (unsigned long long)sum);
	free(graph.edges);
	free(graph.distance);
	free(graph.queue);
	return 0;
}
