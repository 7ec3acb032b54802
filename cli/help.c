/* The texts of `quire help`; the man pages say more. */
#include <string.h>

#include "cli.h"

static const char main_text[] =
	"Usage: quire COMMAND [OPTION]...\n"
	"\n"
	"Runs unmodified programs in a RAM budget smaller than their data: cold pages go\n"
	"compressed to RAM and then to a file, and come back when they are touched.\n"
	"\n"
	"Commands:\n"
	"  run [OPTION]... -- PROGRAM [ARGUMENT]...   run a program within a budget\n"
	"  stat PID [--json]                          figures of a run in progress\n"
	"  ctl PID --ram SIZE                         change the budget of a run in progress\n"
	"  doctor [--json]                            what this machine allows, and what to change\n"
	"  lab WORKLOAD [OPTION]...                   memory management on simulated machines of\n"
	"                                             up to 384 CPUs, mechanism against mechanism\n"
	"  claims [ID]... [OPTION]...                 what the literature claims, and our figures\n"
	"  replay TRACE... [OPTION]...                page replacement policies on traces of accesses\n"
	"  record [OPTION]... -- PROGRAM [ARGUMENT]... a trace of a program's page faults, for replay\n"
	"  version                                    the version\n"
	"  help [COMMAND]                             this text, or that of a command\n"
	"\n"
	"Example: quire run --ram 2G -- python3 big.py\n";

static const char run_text[] =
	"Usage: quire run [OPTION]... -- PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs PROGRAM, with all its processes, in a RAM budget.\n"
	"\n"
	"  -r, --ram SIZE|PERCENT     the budget: 512M, 2G, 1.5GiB, 50% [50% of the available\n"
	"                             memory or of the cgroup's limit, whichever is lower]\n"
	"  -s, --swap DIR|none        directory of the swap file [$TMPDIR or /var/tmp]\n"
	"      --swap-size SIZE       bound of a swap file, one per process [free space]\n"
	"      --compress ALGORITHM   lz4, zstd or none [lz4]\n"
	"      --delivery WAY         how page faults arrive: auto, thread or signal [auto]\n"
	"      --group NAME:max=SIZE,high=SIZE,low=SIZE,match=PATTERN\n"
	"                             limits for the processes whose command matches PATTERN\n"
	"                             [NAME]; each part is optional, the option may be repeated\n"
	"      --report FILE.html     write a report with charts\n"
	"      --stats-json FILE      write all figures as JSON\n"
	"  -q, --quiet                no summary line, no warnings\n"
	"  -h, --help                 this text\n"
	"\n"
	"K, M, G and T are powers of 1024; KB, MB, GB and TB of 1000.\n"
	"\n"
	"Exit status: that of PROGRAM; 128+N if signal N ended it; 120 if budget and swap were\n"
	"exhausted; 125 if quire itself failed; 126 if PROGRAM cannot run under quire; 127 if it\n"
	"was not found.\n";

static const char doctor_text[] = "Usage: quire doctor [--json]\n"
				  "\n"
				  "Checks what quire needs of this machine: each item is ok, limited or missing, with\n"
				  "what works all the same and what an administrator would change.\n"
				  "\n"
				  "  -j, --json                 as JSON\n"
				  "  -h, --help                 this text\n"
				  "\n"
				  "Exit status: 0 if quire run works here; 1 if it does not; 125 for bad options.\n";

static const char stat_text[] = "Usage: quire stat PID [--json]\n"
				"\n"
				"Shows the figures of a run in progress. PID is the launcher or any of its processes.\n"
				"\n"
				"  -j, --json                 as JSON\n"
				"  -h, --help                 this text\n"
				"\n"
				"Exit status: 0; 1 if there is no such process, it does not run under quire, or\n"
				"permission is missing; 125 for bad options.\n";

static const char ctl_text[] =
	"Usage: quire ctl PID --ram SIZE [OPTION]...\n"
	"\n"
	"Changes the budget of a run in progress. PID is the launcher or any of its processes.\n"
	"\n"
	"  -r, --ram SIZE             the new budget: 512M, 2G, 1.5GiB\n"
	"  -w, --wait[=SECONDS]       until the run is within it [60]\n"
	"  -q, --quiet                no progress, and nothing when it is done\n"
	"  -h, --help                 this text\n"
	"\n"
	"Exit status: 0; 1 if there is no such process, it does not run under quire, permission is\n"
	"missing, the budget cannot be had, or the run is not within it after --wait; 125 for bad\n"
	"options.\n";

static const char lab_text[] =
	"Usage: quire lab WORKLOAD [OPTION]...\n"
	"       quire lab list [--json]\n"
	"       quire lab validate [--quick] [--json]\n"
	"       quire lab calibrate [--json]\n"
	"\n"
	"Runs WORKLOAD on simulated machines, for each combination of the options, and prints\n"
	"throughput over CPUs, lock tables, hot cache lines and counters. list names workloads,\n"
	"machines and mechanisms; validate compares the simulation with this machine's own CPUs;\n"
	"calibrate measures what a machine file needs.\n"
	"\n"
	"      --cpus 1,2,4,...,384     numbers of CPUs; dots go on as the list began, up to the\n"
	"                               last [all of the machine, and halves of it]\n"
	"      --machine NAME|FILE,...  machines [the one with the most CPUs]\n"
	"      --MECHANISM CHOICE,...   as in --mmap-lock rwsem,vma; see: quire lab list\n"
	"      --param NAME=VALUE,...   a parameter of the workload; may be repeated\n"
	"      --seeds N                runs of each cell, which make the band [5]\n"
	"      --ms N                   virtual milliseconds per run [the workload's own]\n"
	"      --jobs N                 processes at a time [2]\n"
	"  -j, --json                   everything as JSON, in place of the tables\n"
	"      --svg FILE               curves over CPUs (needs gnuplot)\n"
	"      --report FILE.html       plots, tables and machines on one page\n"
	"      --no-cache               neither read nor keep finished runs\n"
	"  -q, --quiet                  no progress\n"
	"  -h, --help                   this text\n"
	"\n"
	"Example: quire lab fault --cpus 1,2,4,...,64 --mmap-lock rwsem,vma --report faults.html\n"
	"\n"
	"Exit status: 0; 1 if a run failed, which is reported with the command that repeats it;\n"
	"125 for bad options or if quire itself failed; 128+N if signal N ended it.\n";

static const char claims_text[] =
	"Usage: quire claims [ID]... [OPTION]...\n"
	"\n"
	"Lists what the literature on scalable memory management claims, how it is measured here,\n"
	"our figure, and whether the claim holds, falls short, or its mechanism is missing. IDs\n"
	"are like A4 or L2; a letter stands for its family; none: all.\n"
	"\n"
	"      --seeds N                runs per simulated cell [5]\n"
	"      --quick                  one seed: no bands\n"
	"      --jobs N                 processes at a time [2]\n"
	"  -j, --json                   as JSON\n"
	"      --html FILE              as a page as well\n"
	"      --no-cache               neither read nor keep finished runs\n"
	"  -q, --quiet                  no progress\n"
	"  -h, --help                   this text\n"
	"\n"
	"Exit status: 0; 1 if a measurement failed; 125 for bad options or if quire itself\n"
	"failed; 128+N if signal N ended it.\n";

static const char replay_text[] =
	"Usage: quire replay TRACE... [OPTION]...\n"
	"       quire replay --generate PATTERN [--pages N] [--accesses N] [--seed N] >TRACE\n"
	"\n"
	"Runs page replacement policies over traces of page accesses and prints how many of the\n"
	"accesses miss, per policy and size of memory. A trace may be larger than RAM, compressed\n"
	"by gzip or zstd, or - for standard input.\n"
	"\n"
	"      --policy NAME,...        policies; min is the offline optimum [all]\n"
	"      --sizes SIZE,...         of memory: 64M, 1G, 5% of the trace's pages\n"
	"                               [1%,2%,5%,10%,20%,50%]\n"
	"      --format FORMAT          auto, oracle, text, csv or lackey [auto]\n"
	"      --page-size SIZE         of traces of addresses [4096]\n"
	"      --sampling MODE          none: policies see every touch; unmap:1/16: only those of\n"
	"                               pages that were unmapped, a sixteenth of memory [none]\n"
	"      --warmup PERCENT         that part of the trace fills memory and is not counted [0]\n"
	"      --limit N                stop after N accesses\n"
	"      --jobs N                 processes at a time [2]\n"
	"  -j, --json                   everything as JSON, in place of the tables\n"
	"      --svg FILE               curves over size (needs gnuplot)\n"
	"      --generate PATTERN       write a trace: scan+hot, loop or zipf-shift\n"
	"      --pages N                that it touches [20000]\n"
	"      --accesses N             that it has [2000000]\n"
	"      --seed N                 of its randomness [1]\n"
	"  -q, --quiet                  no progress\n"
	"  -h, --help                   this text\n"
	"\n"
	"Example: quire replay --policy lru,clock,min --sizes 5%,10% trace.zst\n"
	"\n"
	"Exit status: 0; 1 if a trace cannot be read to its end, which is reported with the place\n"
	"while the other traces are shown; 125 for bad options or if quire itself failed; 128+N if\n"
	"signal N ended it.\n";

static const char record_text[] =
	"Usage: quire record [OPTION]... -- PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs PROGRAM as quire run does, and writes a trace of its page faults for quire replay.\n"
	"Accesses to pages that are in RAM are not seen until the page has been set aside: the\n"
	"smaller the budget, the more of them the trace has.\n"
	"\n"
	"  -o, --output FILE          the trace [quire.trace]\n"
	"      --format FORMAT        oracle: binary, with times; text: a number per line [oracle]\n"
	"  -r, --ram SIZE|PERCENT     as for quire run\n"
	"  -s, --swap DIR|none        as for quire run\n"
	"      --delivery WAY         as for quire run\n"
	"  -q, --quiet                no summary lines, no warnings\n"
	"  -h, --help                 this text\n"
	"\n"
	"Exit status: as quire run; 125 also if PROGRAM succeeded and the trace is not complete.\n";

static const char version_text[] = "Usage: quire version\n\nPrints the version.\n";

static const char help_text[] = "Usage: quire help [COMMAND]\n\nPrints how to use quire, or one of its commands.\n";

static const struct {
	const char *command;
	const char *text;
} texts[] = {
	{"run", run_text},         {"doctor", doctor_text}, {"stat", stat_text},     {"ctl", ctl_text},
	{"lab", lab_text},         {"claims", claims_text}, {"replay", replay_text}, {"record", record_text},
	{"version", version_text}, {"help", help_text},
};

const char *qr_cli_help_text(const char *command)
{
	if (!command)
		return main_text;
	for (size_t i = 0; i < QR_ARRAY_SIZE(texts); i++) {
		if (!strcmp(command, texts[i].command))
			return texts[i].text;
	}
	return NULL;
}
