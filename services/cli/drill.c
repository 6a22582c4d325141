/* drill - is a session that has ended refused everywhere, in time and for good? Events are made, processes taken away, and who is let in is asked without
 * pause. drill_judge.h says what its words mean; the help text, what it touches. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/drill_chain.h"
#include "services/cli/drill_report.h"
#include "services/cli/image_signal.h"
#include "services/cli/operator.h"
#include "services/cli/sign_in.h"

#define CHAIN_NAME "localnet"
#define TAIL_US 300000ull   /* that is watched after everybody has refused */
#define WATCH_US 1000000ull /* that decisions are measured for, where nothing else happens */
#define RETRY_US 50000ull

struct holder {
	struct keypair keypair;
	char address[PUBKEY_TEXT_MAX + 1];
	char token[WEB_TOKEN_MAX + 1];
};

struct drill_options {
	bool read_only, chaos;
	unsigned rounds, seconds, bound_ms, unpushed_ms, limit_s, every_ms;
	const char *via, *chain, *keypair, *asset;
	struct wanted {
		const char *word;
		unsigned pause_ms;
	} wanted[OUTAGES_MAX];
	size_t nwanted;
};

struct drill {
	struct drill_options options;
	char url[256];
	struct operator operator;
	struct prober *prober;
	struct drill_chain chain;
	struct holder holder[2];
	size_t turn; /* whose the asset is */
	char former[WEB_TOKEN_MAX + 1];
	bool is_edge_only;  /* whose routers are not known */
	bool is_one_router; /* that is behind the edge */
	struct outages outages;
	struct drill_report report;
	uint64_t confirm_us; /* what the last change took to be confirmed */
	uint64_t end_us;     /* of the whole */
	bool stopped;        /* by a signal, or at end_us */
};

/* ---- time ---- */

static bool on_turn(void *arg)
{
	struct drill *drill = arg;
	struct error ignored;
	uint64_t now_us = clock_boot_us();

	outages_turn(&drill->outages, now_us);
	if (drill->stopped)
		return false;
	drill->report.interrupted = image_is_interrupted(&ignored);
	drill->stopped = drill->report.interrupted || now_us >= drill->end_us;
	return !drill->stopped;
}

/* Until until_us, or until is_there says so. */
static bool wait_for(
    struct drill *drill, uint64_t until_us, bool (*is_there)(const struct prober *prober))
{
	while (clock_boot_us() < until_us) {
		if (is_there && is_there(drill->prober))
			return true;
		if (!prober_turn(drill->prober))
			return false;
	}
	return !is_there;
}

static uint64_t limit_us(const struct drill *drill)
{
	return drill->options.limit_s * 1000000ull;
}

/* ---- a session of the drill's own ---- */

static int enter(struct drill *drill, struct holder *holder, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	const struct sign_in how = {
	    .url = drill->url,
	    .keypair = &holder->keypair,
	    .asset = drill->options.read_only ? drill->options.asset : drill->chain.asset,
	    .chain = drill->options.read_only ? NULL : CHAIN_NAME,
	    .loop = prober_loop(drill->prober),
	};

	if (sign_in(&how, &answer, err) < 0)
		return -1;
	if (!answer.token[0])
		return error_set(err, ERR_INTERNAL, "the service sent no session");
	snprintf(holder->token, sizeof(holder->token), "%s", answer.token);
	sodium_memzero(answer.token, sizeof(answer.token));
	return 0;
}

/* The same, again and again for as long as a round may take. */
static int enter_in_time(struct drill *drill, struct holder *holder, struct error *err)
{
	uint64_t until_us = clock_boot_us() + limit_us(drill);

	while (enter(drill, holder, err) < 0) {
		uint64_t pause_us = err->retry_after_s ? err->retry_after_s * 1000000ull : RETRY_US;
		if (drill->stopped || clock_boot_us() + pause_us > until_us ||
		    !wait_for(drill, clock_boot_us() + pause_us, NULL))
			return -1;
	}
	return 0;
}

static int leave(struct drill *drill, struct holder *holder, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	char url[sizeof(drill->url) + 32];

	snprintf(url, sizeof(url), "%s/v1/auth/logout", drill->url);
	if (web_ask(
		&(struct web_question){
		    .method = "POST",
		    .url = url,
		    .body = "{}",
		    .cookie = WEB_COOKIE,
		    .token = holder->token,
		    .loop = prober_loop(drill->prober),
		},
		&answer, err) < 0)
		return -1;
	return answer.status == 204 ? 0 : web_problem(&answer, err);
}

/* Before anything is asked of it: everybody lets it in. */
static int wait_served(struct drill *drill, struct error *err)
{
	if (wait_for(drill, clock_boot_us() + limit_us(drill), prober_all_allowed))
		return 0;
	return error_set(err, ERR_UNAVAILABLE,
	    "%s: not every point lets the drill's own session in",
	    drill->stopped ? "the time was over" : drill->url);
}

/* ---- a round ---- */

static void note_decisions(struct drill *drill, const struct drill_sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!samples[i].former && drill_is_allow(samples[i].status))
			latency_add(
			    &drill->report.decision, samples[i].got_us - samples[i].sent_us);
}

static void judge(struct drill *drill, const struct drill_times *times)
{
	size_t n;
	const struct drill_sample *samples = prober_samples(drill->prober, &n);
	struct drill_verdict verdict;
	char text[512] = "";

	/* one that was interrupted tells of its stale allows alone */
	drill->report.events += times->is_over || prober_all_denied(drill->prober);
	note_decisions(drill, samples, n);
	for (size_t i = 0; i < prober_points(drill->prober); i++) {
		const struct drill_point point = {
		    .index = i, .is_router = i > 0, .is_one = i > 0 || drill->is_one_router};
		drill_judge(samples, n, &point, times, &verdict);
		size_t len = strlen(text);
		if (verdict.enforced)
			snprintf(text + len, sizeof(text) - len, "%s%s %.1f ms", len ? ", " : "",
			    prober_name(drill->prober, i), (double)verdict.enforced_us / 1000);
		drill_report_point(&drill->report, drill->prober, i, &verdict);
	}
	drill_report_line(
	    &drill->report, "round %zu  refused after: %s", drill->report.rounds, text);
}

static int plan_outages(struct drill *drill, struct error *err)
{
	struct outages *outages = &drill->outages;

	outages->len = 0;
	for (size_t i = 0; i < drill->options.nwanted; i++)
		if (outages_add(outages, drill->options.wanted[i].word,
			drill->options.wanted[i].pause_ms, err) < 0)
			return -1;
	if (drill->options.chaos && outages_add_any(outages, err) < 0)
		return -1;
	/* mostly before the change is confirmed, now and then just after it */
	uint32_t within_us = (uint32_t)(drill->confirm_us + drill->confirm_us / 4 + 1);
	for (size_t i = 0; i < outages->len; i++)
		outages->item[i].at_us = clock_boot_us() + randombytes_uniform(within_us);
	return 0;
}

static bool is_ready(struct drill *drill, const char *name)
{
	char socket[OUTAGE_NAME_MAX + 16];

	if (strcmp(name, "nginx") == 0)
		return prober_look(drill->prober, NULL, drill->url) > 0;
	snprintf(socket, sizeof(socket), "run/%s.ops", name);
	return prober_look(drill->prober, socket, "http://localhost/readyz") == 200;
}

/* Is all that was taken away back, and of Redis all who live by it? */
static bool is_whole(struct drill *drill)
{
	char names[OUTAGES_MAX][OUTAGE_NAME_MAX];
	size_t n =
	    outages_of(&drill->outages, "redis") ? outages_running("", names, OUTAGES_MAX) : 0;

	if (!outages_are_over(&drill->outages))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], "redis") != 0 && !is_ready(drill, names[i]))
			return false;
	for (size_t i = 0; i < drill->outages.len; i++)
		if (strcmp(drill->outages.item[i].name, "redis") != 0 &&
		    !is_ready(drill, drill->outages.item[i].name))
			return false;
	return true;
}

static bool lacked_every_oracle(const struct drill *drill)
{
	char names[OUTAGES_MAX][OUTAGE_NAME_MAX];
	size_t gone = outages_of(&drill->outages, "chain-oracle");

	return gone > 0 && gone >= outages_running("chain-oracle", names, OUTAGES_MAX);
}

/* When the new owner was confirmed, by this process' clock: as the chain first pushed it, or as it answered. */
static uint64_t event_us(struct drill *drill, uint64_t slot, uint64_t answered_us)
{
	uint64_t pushed_us = drill_chain_pushed(&drill->chain, slot);
	uint64_t ago_us = clock_unix_us() - pushed_us, now_us = clock_boot_us();

	return pushed_us && ago_us < now_us && now_us - ago_us < answered_us ? now_us - ago_us
									     : answered_us;
}

/* Until everybody has refused and everything is back; sets whole_us and is_over. -1: it does not come back. */
static int wait_enforced(struct drill *drill, struct drill_times *times, struct error *err)
{
	uint64_t until_us = times->event_us + limit_us(drill);
	bool whole = drill->outages.len == 0;

	while (!drill->stopped && !(whole && prober_all_denied(drill->prober))) {
		if (clock_boot_us() >= until_us) {
			times->is_over = whole;
			break;
		}
		if (whole || !is_whole(drill)) {
			prober_turn(drill->prober);
			continue;
		}
		whole = true;
		times->whole_us = clock_boot_us();
		until_us = times->whole_us + limit_us(drill);
	}
	if (whole)
		return 0;
	times->whole_us = clock_boot_us();
	return error_set(err, ERR_UNAVAILABLE,
	    "round %zu: what was taken away was not ready again within %u s", drill->report.rounds,
	    drill->options.limit_s);
}

/* An allow that one router of several still gives counts from the bound on only: so that is watched as well, where it is near. */
static void watch_on(struct drill *drill, const struct drill_times *times)
{
	uint64_t until_us = clock_boot_us() + TAIL_US;
	uint64_t bound_us = times->known_us + times->bound_us + TAIL_US;

	if (!drill->is_one_router && bound_us > until_us && drill->options.bound_ms <= 2000 &&
	    times->bound_us <= 2000000)
		until_us = bound_us;
	wait_for(drill, until_us, NULL);
}

static void keep_former(struct drill *drill, struct holder *holder)
{
	memcpy(drill->former, holder->token, sizeof(drill->former));
	sodium_memzero(holder->token, sizeof(holder->token));
}

/* The asset changes hands. -1: could not be done; what was seen is reported all the same. */
static int transfer_round(struct drill *drill, struct error *err)
{
	struct holder *old = &drill->holder[drill->turn], *next = &drill->holder[!drill->turn];
	struct drill_times times = {.bound_us = drill->options.bound_ms * 1000ull};
	uint64_t slot = 0;

	prober_begin(drill->prober, old->token, drill->former);
	if (wait_served(drill, err) < 0 || plan_outages(drill, err) < 0)
		return -1;
	bool mute = drill_chain_is_mute(&drill->chain);
	uint64_t begun_us = clock_boot_us();
	if (drill_chain_transfer(&drill->chain, next->address, &slot, err) < 0)
		return -1;
	drill->confirm_us = clock_boot_us() - begun_us;
	times.event_us = times.whole_us = event_us(drill, slot, clock_boot_us());
	if (mute || lacked_every_oracle(drill))
		times.bound_us = drill->options.unpushed_ms * 1000ull;
	int back = wait_enforced(drill, &times, err);
	times.known_us = outages_of(&drill->outages, "redis") || lacked_every_oracle(drill)
			     ? times.whole_us
			     : times.event_us;
	drill->turn = !drill->turn;
	int entered = drill->stopped || back < 0 ? -1 : enter_in_time(drill, next, err);
	if (entered == 0)
		drill->report.signed_in++;
	if (!drill->stopped)
		watch_on(drill, &times);
	judge(drill, &times);
	if (entered < 0 && back == 0 && !drill->stopped) {
		drill->report.shut_out++;
		drill_report_failure(&drill->report,
		    "round %zu: the new owner could not sign in: %s", drill->report.rounds,
		    err->text);
	}
	keep_former(drill, old);
	return entered;
}

/* A session of its own ends. */
static int logout_round(struct drill *drill, struct error *err)
{
	struct holder *holder = &drill->holder[0];
	struct drill_times times = {.bound_us = drill->options.bound_ms * 1000ull};

	prober_begin(drill->prober, "", "");
	if (enter_in_time(drill, holder, err) < 0)
		return -1;
	prober_begin(drill->prober, holder->token, drill->former);
	if (wait_served(drill, err) < 0)
		return -1;
	wait_for(drill, clock_boot_us() + WATCH_US, NULL);
	if (drill->stopped)
		return error_set(err, ERR_TIMEOUT, "the time was over");
	if (leave(drill, holder, err) < 0)
		return -1;
	times.event_us = times.whole_us = times.known_us = clock_boot_us();
	wait_enforced(drill, &times, err);
	if (!drill->stopped)
		watch_on(drill, &times);
	judge(drill, &times);
	keep_former(drill, holder);
	return 0;
}

/* 0, or -1 when it could not go on. */
static int run_rounds(struct drill *drill, struct error *err)
{
	while (!drill->stopped && drill->report.rounds < drill->options.rounds) {
		drill->report.rounds++;
		int rc = drill->options.read_only ? logout_round(drill, err)
						  : transfer_round(drill, err);
		outages_end(&drill->outages);
		drill_report_outages(&drill->report, &drill->outages);
		drill->outages.len = 0;
		if (rc < 0)
			return drill->stopped && drill->report.events ? 0 : -1;
	}
	return 0;
}

/* ---- begin and end ---- */

/* Each router by itself, where its socket can be opened. */
static void add_points(struct drill *drill)
{
	const struct setting_list *routers = &drill->operator.settings.routers;
	char name[OUTAGE_NAME_MAX];

	prober_add(drill->prober, "edge", NULL);
	if (drill->is_edge_only)
		return;
	drill->is_one_router = routers->len == 1;
	for (size_t i = 0; i < routers->len && i + 1 < PROBER_POINTS_MAX; i++) {
		if (sscanf(routers->item[i], "ipc://run/%39[^./].bus", name) != 1)
			continue;
		scoped_free char *path = NULL;
		if (asprintf(&path, "run/%s.api", name) < 0 || access(path, R_OK | W_OK) < 0) {
			fprintf(stderr, "multiclaw: %s is not asked by itself: %s: %s\n", name,
			    path ? path : "", strerror(errno));
			continue;
		}
		prober_add(drill->prober, name, path);
	}
}

static void make_holder(struct holder *holder)
{
	uint8_t key[crypto_sign_SECRETKEYBYTES];

	crypto_sign_keypair(holder->keypair.public_key, key);
	holder->keypair.secret = secret_new(key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	pubkey_text(holder->keypair.public_key, holder->address);
}

static int chain_url(const struct drill *drill, char *buf, size_t size, struct error *err)
{
	if (drill->options.chain)
		return snprintf(buf, size, "%s", drill->options.chain) < 0;
	scoped_json json_t *ports = json_load_file("chain/ports.json", 0, NULL);
	json_int_t port = json_integer_value(json_object_get(ports, "rpc_a"));
	if (port <= 0)
		return error_set(err, ERR_DENIED,
		    "this suite stands on no development chain (no chain/ports.json); on a real "
		    "one there is 'drill --read-only'");
	snprintf(buf, size, "http://127.0.0.1:%lld", (long long)port);
	return 0;
}

/* Two wallets and an asset that did not exist before and are nobody else's. */
static int open_demo(struct drill *drill, struct error *err)
{
	char url[128];

	if (chain_url(drill, url, sizeof(url), err) != 0 ||
	    drill_chain_open(&drill->chain, url, prober_loop(drill->prober), err) < 0)
		return -1;
	make_holder(&drill->holder[0]);
	make_holder(&drill->holder[1]);
	/* would a process be taken away that is not there, nothing is begun */
	if (plan_outages(drill, err) < 0)
		return -1;
	drill->outages.len = 0;
	uint64_t begun_us = clock_boot_us();
	if (drill_chain_mint(&drill->chain, drill->operator.settings.collection,
		drill->holder[0].address, err) < 0)
		return -1;
	drill->confirm_us = clock_boot_us() - begun_us;
	return enter_in_time(drill, &drill->holder[0], err);
}

static int open_suite(struct drill *drill, const struct cli *cli, struct error *err)
{
	if (operator_open(&drill->operator, cli, err) < 0) {
		if (!drill->options.read_only)
			return -1;
		/* an owner, or an operator elsewhere */
		drill->is_edge_only = true;
	}
	const char *theirs = drill->operator.settings.public_url;
	snprintf(drill->url, sizeof(drill->url), "%s",
	    drill->options.read_only || !theirs ? cli->url : theirs);
	if (drill->options.read_only && theirs && strcmp(theirs, cli->url) != 0)
		drill->is_edge_only = true;
	return 0;
}

static int open_drill(struct drill *drill, const struct cli *cli, struct error *err)
{
	struct holder *holder = &drill->holder[0];

	/* before the state folder becomes the working directory */
	if (drill->options.read_only &&
	    keypair_read(drill->options.keypair, &holder->keypair, err) < 0)
		return -1;
	if (open_suite(drill, cli, err) < 0)
		return -1;
	drill->prober = prober_new(drill->url, drill->options.via, drill->options.every_ms);
	prober_on_turn(drill->prober, on_turn, drill);
	add_points(drill);
	drill->end_us = clock_boot_us() + drill->options.seconds * 1000000ull;
	if (drill->options.read_only)
		return 0;
	return open_demo(drill, err);
}

/* What is left of the drill: nothing. A few seconds, even if it was interrupted. */
static void close_drill(struct drill *drill)
{
	struct error ignored;

	outages_end(&drill->outages);
	if (drill->prober) {
		prober_begin(drill->prober, "", "");
		prober_on_turn(drill->prober, NULL, NULL);
		if (drill->options.read_only && drill->holder[0].token[0])
			leave(drill, &drill->holder[0], &ignored);
		drill_chain_burn(&drill->chain);
	}
	for (size_t i = 0; i < ARRAY_LEN(drill->holder); i++)
		keypair_wipe(&drill->holder[i].keypair);
	prober_destroy(&drill->prober);
	operator_close(&drill->operator);
	drill_report_close(&drill->report);
	sodium_memzero(drill, sizeof(*drill));
}

/* ---- words ---- */

static int read_number(
    const char *name, const char *text, unsigned min, unsigned max, unsigned *value_r)
{
	if (!*text || strlen(text) > 7 || strspn(text, "0123456789") != strlen(text) ||
	    strtoul(text, NULL, 10) < min || strtoul(text, NULL, 10) > max)
		return cli_usage(
		    "drill: %s takes a number from %u to %u, not '%s'", name, min, max, text);
	*value_r = (unsigned)strtoul(text, NULL, 10);
	return CLI_OK;
}

/* NAME, or NAME:MS of a pause. Cuts text up. */
static int read_wanted(struct drill_options *options, char *text, bool is_pause)
{
	unsigned pause_ms = is_pause ? OUTAGE_PAUSE_MS : 0;
	char *colon = is_pause ? strchr(text, ':') : NULL;

	if (options->nwanted == OUTAGES_MAX)
		return cli_usage("drill: at most %d processes", OUTAGES_MAX);
	if (colon) {
		*colon = '\0';
		if (read_number("--pause NAME:MS", colon + 1, 1, OUTAGE_PAUSE_MS_MAX, &pause_ms) !=
		    CLI_OK)
			return CLI_USAGE;
	}
	options->wanted[options->nwanted++] = (struct wanted){text, pause_ms};
	return CLI_OK;
}

static int read_option(struct drill_options *options, int argc, char **argv, int *at)
{
	const struct {
		const char *name;
		unsigned min, max, *to;
	} numbers[] = {
	    {"--rounds", 1, 1000000, &options->rounds},
	    {"--seconds", 1, 1000000, &options->seconds},
	    {"--bound", 1, 600000, &options->bound_ms},
	    {"--bound-unpushed", 1, 600000, &options->unpushed_ms},
	    {"--limit", 1, 600, &options->limit_s},
	    {"--every", 1, 1000, &options->every_ms},
	};
	const struct {
		const char *name, **to;
	} texts[] = {
	    {"--via", &options->via},
	    {"--chain", &options->chain},
	    {"--keypair", &options->keypair},
	    {"--asset", &options->asset},
	};
	char *value;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if ((value = (char *)(uintptr_t)cli_option(numbers[i].name, argc, argv, at)))
			return read_number(
			    numbers[i].name, value, numbers[i].min, numbers[i].max, numbers[i].to);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if ((value = (char *)(uintptr_t)cli_option(texts[i].name, argc, argv, at))) {
			*texts[i].to = value;
			return CLI_OK;
		}
	if ((value = (char *)(uintptr_t)cli_option("--kill", argc, argv, at)))
		return read_wanted(options, value, false);
	if ((value = (char *)(uintptr_t)cli_option("--pause", argc, argv, at)))
		return read_wanted(options, value, true);
	if (strcmp(argv[*at], "--chaos") == 0)
		options->chaos = true;
	else if (strcmp(argv[*at], "--read-only") == 0)
		options->read_only = true;
	else
		return cli_usage("drill: what is '%s'?", argv[*at]);
	return CLI_OK;
}

static int read_options(struct drill_options *options, int argc, char **argv)
{
	*options = (struct drill_options){.rounds = 10,
	    .seconds = 300,
	    .bound_ms = 1000,
	    .unpushed_ms = 15000,
	    .limit_s = 30,
	    .every_ms = 5};
	for (int i = 1; i < argc; i++)
		if (read_option(options, argc, argv, &i) != CLI_OK)
			return CLI_USAGE;
	for (size_t i = 0; i < options->nwanted; i++)
		if (options->wanted[i].pause_ms >= options->limit_s * 1000)
			return cli_usage("drill: a round's --limit ends before %s goes on",
			    options->wanted[i].word);
	if (options->read_only && (options->nwanted || options->chaos || options->chain))
		return cli_usage(
		    "drill: --read-only changes nothing: no --kill, --pause, --chaos, --chain");
	if (options->read_only && !options->keypair)
		return cli_usage(
		    "drill: --read-only signs in with --keypair FILE [--asset ADDRESS]");
	if (!options->read_only && (options->keypair || options->asset))
		return cli_usage("drill: it makes wallets and an asset of its own; --keypair and "
				 "--asset are for --read-only");
	if (options->via &&
	    strspn(options->via, "0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ.:-[]") != strlen(options->via))
		return cli_usage("drill: --via HOST:PORT, not '%s'", options->via);
	return CLI_OK;
}

static int outcome(const struct drill *drill, bool could_run)
{
	if (!drill_report_held(&drill->report))
		return CLI_FAILED;
	return could_run && drill->report.events ? CLI_OK : CLI_USAGE;
}

int cli_drill(struct cli *cli, int argc, char **argv)
{
	struct drill *drill = calloc(1, sizeof(*drill));
	struct error err = {0};

	bug_if(!drill);
	if (read_options(&drill->options, argc, argv) != CLI_OK) {
		free(drill);
		return CLI_USAGE;
	}
	drill_report_open(&drill->report, cli->json, drill->options.read_only);
	drill->report.bound_ms = drill->options.bound_ms;
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	image_signals_hold();
	int rc = open_drill(drill, cli, &err);
	if (rc == 0) {
		rc = run_rounds(drill, &err);
		if (rc < 0)
			cli_fail(&err);
		drill_report_print(&drill->report, drill->prober, rc == 0);
		rc = outcome(drill, rc == 0);
	} else {
		cli_fail(&err);
		rc = CLI_USAGE;
	}
	close_drill(drill);
	free(drill);
	return rc;
}
