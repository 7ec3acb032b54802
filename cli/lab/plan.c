/* Lays out an experiment: machines x settings x parameters x CPUs x seeds. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lab/plan.h"
#include "lab/words.h"

/* More would take days. */
#define MAX_CELLS 100000u
#define MAX_VARIANTS 1000u

static int find_machines(const struct qr_lab_request *request, const struct qr_catalog *catalog,
			 struct qr_lab_plan *plan);
static bool has_cpus(const struct qr_lab_request *request, const struct qr_lab_machine *machine);
static uint64_t count_choices(const json_t *lists);
static json_t *choose(const json_t *lists, uint64_t *index);
static void fill_variant(const struct qr_lab_request *request, struct qr_lab_plan *plan,
			 struct qr_lab_variant *variant);
static char *make_label(const struct qr_lab_request *request, const struct qr_lab_variant *variant, bool is_lone);
static void add_varying(struct qr_lab_text *label, const json_t *lists, const json_t *chosen, bool is_lone);

int qr_lab_plan_make(const struct qr_lab_request *request, const struct qr_catalog *catalog, struct qr_lab_plan *plan)
{
	uint64_t nr_settings = count_choices(request->settings), nr_params = count_choices(request->params);
	uint64_t per_machine = nr_settings * nr_params;
	unsigned next = 0;

	memset(plan, 0, sizeof(*plan));
	plan->workload = qr_lab_name_of(request->workload);
	plan->ms = request->ms;
	plan->nr_seeds = request->nr_seeds;
	if (find_machines(request, catalog, plan))
		goto fail;
	if (per_machine * plan->nr_machines > MAX_VARIANTS) {
		qr_cli_say("lab: the product of the options has more than %u variants", MAX_VARIANTS);
		goto fail;
	}
	plan->nr_variants = (unsigned)per_machine * plan->nr_machines;
	plan->variants = qr_lab_alloc(plan->nr_variants, sizeof(*plan->variants));
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		struct qr_lab_variant *variant = &plan->variants[i];
		uint64_t index = i % per_machine;

		variant->machine = &plan->machines[i / per_machine];
		variant->settings = choose(request->settings, &index);
		variant->params = choose(request->params, &index);
		variant->label = make_label(request, variant, plan->nr_variants == 1);
		fill_variant(request, plan, variant);
		plan->nr_cells += variant->cpus.nr * plan->nr_seeds;
	}
	if (plan->nr_cells > MAX_CELLS) {
		qr_cli_say("lab: that makes %u runs; the most is %u", plan->nr_cells, MAX_CELLS);
		goto fail;
	}
	plan->cells = qr_lab_alloc(plan->nr_cells, sizeof(struct qr_lab_cell *));
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		for (unsigned j = 0; j < plan->variants[i].cpus.nr * plan->nr_seeds; j++)
			plan->cells[next++] = &plan->variants[i].cells[j];
	}
	return 0;

fail:
	qr_lab_plan_free(plan);
	return QR_EXIT_FAILED;
}

void qr_lab_plan_free(struct qr_lab_plan *plan)
{
	for (unsigned i = 0; i < plan->nr_variants; i++) {
		struct qr_lab_variant *variant = &plan->variants[i];

		for (unsigned j = 0; j < variant->cpus.nr * plan->nr_seeds; j++) {
			json_decref(variant->cells[j].result);
			free(variant->cells[j].error);
		}
		json_decref(variant->settings);
		json_decref(variant->params);
		free(variant->label);
		free(variant->cpus.cpus);
		free(variant->cells);
	}
	for (unsigned i = 0; i < plan->nr_machines; i++)
		qr_lab_machine_free(&plan->machines[i]);
	free(plan->variants);
	free(plan->machines);
	free(plan->cells);
	memset(plan, 0, sizeof(*plan));
}

static int find_machines(const struct qr_lab_request *request, const struct qr_catalog *catalog,
			 struct qr_lab_plan *plan)
{
	const json_t *name;
	size_t i;

	plan->machines = qr_lab_alloc(json_array_size(request->machines), sizeof(*plan->machines));
	json_array_foreach(request->machines, i, name)
	{
		struct qr_lab_machine *machine = &plan->machines[plan->nr_machines];

		if (qr_lab_machine_find(catalog, qr_lab_name_of(name), machine))
			return QR_EXIT_FAILED;
		plan->nr_machines++;
		if (!has_cpus(request, machine))
			return QR_EXIT_FAILED;
	}
	return 0;
}

static bool has_cpus(const struct qr_lab_request *request, const struct qr_lab_machine *machine)
{
	uint32_t most = request->cpus.nr ? request->cpus.cpus[request->cpus.nr - 1] : 0;

	if (!most && !machine->cpus) {
		qr_cli_say("lab: machine file %s does not say how many CPUs it has; give --cpus", machine->name);
		return false;
	}
	/* What a file's machine can have is for the runner to say, which knows the form. */
	if (most > machine->cpus && machine->cpus) {
		qr_cli_say("lab: machine %s has %u CPUs; --cpus goes up to %u", machine->name, machine->cpus, most);
		return false;
	}
	return true;
}

/* Ways to choose one of each list. */
static uint64_t count_choices(const json_t *lists)
{
	uint64_t nr = 1;
	const char *name;
	json_t *list;

	/* The second argument of the macro is not const in all versions. */
	json_object_foreach((json_t *)(uintptr_t)lists, name, list) nr =
		QR_MIN(nr * json_array_size(list), (uint64_t)MAX_VARIANTS + 1);
	return nr;
}

/* The index-th way, the last list varying slowest; *index becomes what is left of it. */
static json_t *choose(const json_t *lists, uint64_t *index)
{
	json_t *chosen = json_object();
	const char *name;
	json_t *list;

	json_object_foreach((json_t *)(uintptr_t)lists, name, list)
	{
		(void)json_object_set(chosen, name, json_array_get(list, *index % json_array_size(list)));
		*index /= json_array_size(list);
	}
	return chosen;
}

static void fill_variant(const struct qr_lab_request *request, struct qr_lab_plan *plan, struct qr_lab_variant *variant)
{
	struct qr_lab_cell *cell;

	if (request->cpus.nr) {
		variant->cpus.nr = request->cpus.nr;
		variant->cpus.cpus = qr_lab_alloc(request->cpus.nr, sizeof(*variant->cpus.cpus));
		memcpy(variant->cpus.cpus, request->cpus.cpus, request->cpus.nr * sizeof(*variant->cpus.cpus));
	} else {
		qr_lab_cpus_double(variant->machine->cpus, &variant->cpus);
	}
	variant->cells = cell = qr_lab_alloc((size_t)variant->cpus.nr * plan->nr_seeds, sizeof(*cell));
	for (unsigned i = 0; i < variant->cpus.nr; i++) {
		for (uint32_t seed = 1; seed <= plan->nr_seeds; seed++, cell++)
			*cell = (struct qr_lab_cell){
				.workload = plan->workload,
				.machine = variant->machine,
				.settings = variant->settings,
				.params = variant->params,
				.ms = plan->ms,
				.seed = seed,
				.cpus = variant->cpus.cpus[i],
			};
	}
}

static char *make_label(const struct qr_lab_request *request, const struct qr_lab_variant *variant, bool is_lone)
{
	struct qr_lab_text label = {0};

	add_varying(&label, request->settings, variant->settings, is_lone);
	add_varying(&label, request->params, variant->params, is_lone);
	if (json_array_size(request->machines) > 1)
		qr_lab_text_add(&label, "%s%s", label.length ? ", " : "", variant->machine->label);
	if (!label.length)
		qr_lab_text_add(&label, "default mechanisms");
	return label.text;
}

static void add_varying(struct qr_lab_text *label, const json_t *lists, const json_t *chosen, bool is_lone)
{
	const char *name;
	json_t *list;

	json_object_foreach((json_t *)(uintptr_t)lists, name, list)
	{
		if (is_lone || json_array_size(list) > 1)
			qr_lab_text_add(label, "%s%s %s", label->length ? ", " : "", name, qr_lab_string(chosen, name));
	}
}
