/* The option --group of `quire run`: NAME:max=SIZE,high=SIZE,low=SIZE,match=PATTERN, each part at most once. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"

enum part { PART_MAX, PART_HIGH, PART_LOW, PART_MATCH, NR_PARTS };
static const char *const part_names[NR_PARTS] = {"max", "high", "low", "match"};

static bool take_name(const char *text, struct qr_domain_group *group);
static bool take_part(const char *text, char *part, struct qr_domain_group *group, uint32_t *seen);
static bool take_limit(const char *text, const char *name, const char *value, uint64_t *frames);
static bool check_limits(const char *text, const struct qr_domain_group *group);

bool qr_options_parse_group(const char *text, struct qr_domain_group *group)
{
	char copy[256], *rest = copy, *part;
	uint32_t seen = 0;

	*group = (struct qr_domain_group){.max_frames = QR_DOMAIN_NO_LIMIT, .high_frames = QR_DOMAIN_NO_LIMIT};
	if (!take_name(text, group))
		return false;
	if (strlen(text) >= sizeof(copy)) {
		qr_cli_say("run: --group '%.40s...' is too long", text);
		return false;
	}
	(void)strcpy(copy, strchr(text, ':') + 1);
	while ((part = strsep(&rest, ","))) {
		if (!take_part(text, part, group, &seen))
			return false;
	}
	if (!(seen & 1u << PART_MATCH))
		(void)strcpy(group->match, group->name);
	return check_limits(text, group);
}

static bool take_name(const char *text, struct qr_domain_group *group)
{
	size_t length = strcspn(text, ":");

	if (!text[length]) {
		qr_cli_say("run: --group '%s' has no limits; write it like web:max=1G,match='nginx*'", text);
		return false;
	}
	if (!length || length >= sizeof(group->name)) {
		qr_cli_say("run: --group '%s': the name before the colon has 1 to %zu characters", text,
			   sizeof(group->name) - 1);
		return false;
	}
	memcpy(group->name, text, length);
	return true;
}

static bool take_part(const char *text, char *part, struct qr_domain_group *group, uint32_t *seen)
{
	char *value = strchr(part, '=');
	unsigned which = 0;

	if (value)
		*value++ = '\0';
	while (which < NR_PARTS && strcmp(part, part_names[which]))
		which++;
	if (which == NR_PARTS || !value || !*value) {
		qr_cli_say("run: --group '%s': '%s' is not max=SIZE, high=SIZE, low=SIZE or match=PATTERN", text, part);
		return false;
	}
	if (*seen & 1u << which) {
		qr_cli_say("run: --group '%s': '%s' is given twice", text, part);
		return false;
	}
	*seen |= 1u << which;
	switch ((enum part)which) {
	case PART_MAX:
		return take_limit(text, part, value, &group->max_frames);
	case PART_HIGH:
		return take_limit(text, part, value, &group->high_frames);
	case PART_LOW:
		return take_limit(text, part, value, &group->low_frames);
	default:
		if (strlen(value) < sizeof(group->match)) {
			(void)strcpy(group->match, value);
			return true;
		}
		qr_cli_say("run: --group '%s': a pattern has at most %zu characters", text, sizeof(group->match) - 1);
		return false;
	}
}

static bool take_limit(const char *text, const char *name, const char *value, uint64_t *frames)
{
	uint64_t bytes = 0;

	if (!qr_options_parse_size(value, &bytes)) {
		qr_cli_say("run: --group '%s': %s=%s is not a size; write it like 512M, 2G or 1.5GiB", text, name,
			   value);
		return false;
	}
	/* A process needs some memory to run at all. */
	if (bytes < QR_RAM_MIN) {
		qr_cli_say("run: --group '%s': %s=%s is below the least, %llu MiB", text, name, value,
			   (unsigned long long)(QR_RAM_MIN >> 20));
		return false;
	}
	*frames = bytes >> QR_PAGE_SHIFT;
	return true;
}

static bool check_limits(const char *text, const struct qr_domain_group *group)
{
	if (group->max_frames == QR_DOMAIN_NO_LIMIT && group->high_frames == QR_DOMAIN_NO_LIMIT && !group->low_frames) {
		qr_cli_say("run: --group '%s' has no limits; give max=SIZE, high=SIZE or low=SIZE", text);
		return false;
	}
	if (group->high_frames != QR_DOMAIN_NO_LIMIT && group->high_frames > group->max_frames) {
		qr_cli_say("run: --group '%s': high is above max", text);
		return false;
	}
	if (group->low_frames > group->max_frames || group->low_frames > group->high_frames) {
		qr_cli_say("run: --group '%s': low is above %s", text,
			   group->low_frames > group->max_frames ? "max" : "high");
		return false;
	}
	return true;
}
