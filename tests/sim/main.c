/* sim - the suite's deciding code in virtual time, seed after seed. See README.md. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/sim/bugs.h"
#include "tests/sim/judge.h"
#include "tests/sim/script.h"
#include "tests/sim/suite.h"

#define JOBS_MAX 64
#define NONE UINT64_MAX
#define KEPT_BYTES (64 * 1024 * 1024) /* what a seed gives back, the next one takes */

struct job {
	uint64_t seed, nseeds, failed; /* seed: under way; NONE: none */
	uint64_t steps;
	struct judge_count count;
};
struct options {
	uint64_t from, nseeds, one; /* one: NONE, or the seed to replay */
	unsigned jobs;
};

/* ---- the seed's random numbers are libsodium's, too */

static const char *random_name(void)
{
	return "seed";
}

static uint32_t random_word(void)
{
	return (uint32_t)world_random();
}

static void random_bytes(void *const buf, const size_t size)
{
	uint8_t *bytes = buf;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(world_random() >> 32);
}

static struct randombytes_implementation random_numbers = {
    .implementation_name = random_name, .random = random_word, .buf = random_bytes};

/* ---- the signing key */

static void write_keys(char *folder)
{
	char path[64];

	if (!mkdtemp(folder))
		fatal("sim: no folder for the keys");
	snprintf(path, sizeof(path), "%s/jwt.keys", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		fatal("sim: %s", path);
	dprintf(fd, "sim 1 4000000000 %s\n", "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=");
	close(fd);
	suite.keys = folder;
}

static void remove_keys(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/jwt.keys", suite.keys);
	unlink(path);
	rmdir(suite.keys);
}

/* ---- running */

static bool run(uint64_t seed, struct job *job)
{
	job->seed = seed;
	suite_run(seed);
	job->nseeds++;
	job->steps += world.steps;
	job->count = judge_count;
	if (!world_has_failed())
		return true;
	job->failed = seed;
	return false;
}

static void work(const struct options *options, unsigned number, struct job *jobs)
{
	for (uint64_t i = number; i < options->nseeds; i += options->jobs) {
		for (unsigned j = 0; j < options->jobs; j++)
			if (jobs[j].failed != NONE)
				return;
		if (!run(options->from + i, &jobs[number]))
			return;
	}
	jobs[number].seed = NONE;
}

/* The first seed that failed or killed its process; NONE: none did. */
static uint64_t run_all(const struct options *options, struct job *jobs)
{
	uint64_t failed = NONE;
	pid_t pids[JOBS_MAX];
	int status;

	fflush(stdout);
	for (unsigned i = 0; i < options->jobs; i++)
		jobs[i].failed = jobs[i].seed = NONE;
	for (unsigned i = 0; i < options->jobs; i++) {
		pids[i] = fork();
		bug_if(pids[i] < 0);
		if (pids[i] == 0) {
			work(options, i, jobs);
			script_close();
			_exit(0);
		}
	}
	for (unsigned i = 0; i < options->jobs; i++) {
		bool ended = waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) &&
			     WEXITSTATUS(status) == 0;
		uint64_t its = ended ? jobs[i].failed : jobs[i].seed;
		if (its < failed)
			failed = its;
	}
	return failed;
}

static void add_count(struct judge_count *sum, const struct judge_count *count)
{
	sum->scripts += count->scripts;
	sum->allows += count->allows;
	sum->denials += count->denials;
	sum->ends += count->ends;
	sum->lost_ends += count->lost_ends;
	sum->proven_ends += count->proven_ends;
	sum->receipts += count->receipts;
	sum->histories += count->histories;
	sum->late += count->late;
}

static void report(const struct options *options, const struct job *jobs, double seconds)
{
	struct judge_count sum = {0};
	uint64_t nseeds = 0, steps = 0;

	for (unsigned i = 0; i < options->jobs; i++) {
		add_count(&sum, &jobs[i].count);
		nseeds += jobs[i].nseeds;
		steps += jobs[i].steps;
	}
	printf("%" PRIu64 " seeds in %.1f s, %" PRIu64 " steps, %" PRIu64 " scripts: %" PRIu64
	       " allows (%" PRIu64 " within the 2 s), %" PRIu64 " denials; %" PRIu64
	       " sessions ended, %" PRIu64 " ends lost, %" PRIu64 " of them proven, %" PRIu64
	       " receipts; %" PRIu64 " new histories\n",
	    nseeds, seconds, steps, sum.scripts, sum.allows, sum.late, sum.denials, sum.ends,
	    sum.lost_ends, sum.proven_ends, sum.receipts, sum.histories);
}

static int replay(uint64_t seed)
{
	struct job job = {.failed = NONE};

	world.traces = true;
	printf("seed %" PRIu64 "%s%s\n", seed, world.bug ? ", planted: " : "",
	    world.bug ? world.bug : "");
	bool good = run(seed, &job);
	script_close();
	if (good)
		printf("seed %" PRIu64 ": nothing is wrong\n", seed);
	else
		printf("seed %" PRIu64 " FAILED %s\nreplay: sim --seed %" PRIu64 "%s%s\n", seed,
		    world.failure, seed, world.bug ? " --bug " : "", world.bug ? world.bug : "");
	return good ? 0 : 1;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int search(const struct options *options)
{
	size_t size = JOBS_MAX * sizeof(struct job);
	struct job *jobs =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double began = now_s();

	bug_if(jobs == MAP_FAILED);
	uint64_t failed = run_all(options, jobs);
	report(options, jobs, now_s() - began);
	munmap(jobs, size);
	return failed == NONE ? 0 : replay(failed);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (*end || !*text)
		fatal("sim: '%s' is no number", text);
	return n;
}

static void usage(void)
{
	puts("sim [--seeds N] [--from SEED] [--jobs N] [--bug NAME]   run them until one fails\n"
	     "sim --seed SEED [--bug NAME]                            replay one, with its trace\n"
	     "sim --bugs                                              what can be planted");
	exit(2);
}

static struct options read_options(int argc, char **argv)
{
	static const struct option names[] = {{"seeds", required_argument, NULL, 'n'},
	    {"from", required_argument, NULL, 'f'}, {"seed", required_argument, NULL, 's'},
	    {"jobs", required_argument, NULL, 'j'}, {"bug", required_argument, NULL, 'b'},
	    {"bugs", no_argument, NULL, 'l'}, {0}};
	struct options options = {.from = 1, .nseeds = 1000, .one = NONE, .jobs = 2};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'n')
			options.nseeds = number(optarg);
		else if (option == 'f')
			options.from = number(optarg);
		else if (option == 's')
			options.one = number(optarg);
		else if (option == 'j')
			options.jobs = (unsigned)number(optarg);
		else if (option == 'b' && bugs_know(optarg))
			world.bug = optarg;
		else if (option == 'l')
			bugs_list(), exit(0);
		else
			usage();
	}
	if (options.jobs < 1 || options.jobs > JOBS_MAX || optind != argc)
		usage();
	return options;
}

int main(int argc, char **argv)
{
	static char folder[] = "/tmp/multiclaw-sim-XXXXXX";
	struct options options = read_options(argc, argv);

	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
	randombytes_set_implementation(&random_numbers);
	if (sodium_init() < 0)
		fatal("cannot initialise the cryptographic library");
	write_keys(folder);
	int status = options.one != NONE ? replay(options.one) : search(&options);
	remove_keys();
	return status;
}
