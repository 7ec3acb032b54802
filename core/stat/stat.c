/* Sums and names of the event counters. */
#include "stat/stat.h"

static const char *const stat_names[QR_NR_STATS] = {
#define X(name, text) [QR_STAT_##name] = #name,
	QR_STATS(X)
#undef X
};

static const char *const stat_texts[QR_NR_STATS] = {
#define X(name, text) [QR_STAT_##name] = text,
	QR_STATS(X)
#undef X
};

uint64_t qr_stat_sum(const struct qr_stats *stats, enum qr_stat stat)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < stats->nr_cpus; i++)
		sum += qr_load_relaxed(&stats->cpus[i].count[stat]);
	return sum;
}

const char *qr_stat_name(enum qr_stat stat)
{
	return (unsigned)stat < QR_NR_STATS ? stat_names[stat] : NULL;
}

const char *qr_stat_text(enum qr_stat stat)
{
	return (unsigned)stat < QR_NR_STATS ? stat_texts[stat] : NULL;
}
