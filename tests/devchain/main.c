#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/confine.h"
#include "common/log.h"
#include "tests/devchain/control.h"
#include "tests/devchain/control_client.h"
#include "tests/devchain/devchain.h"

#define SLOT_MS_MAX 60000u
#define LAG_MAX 1000u

static void usage(FILE *out)
{
	fputs(
	    "usage: multiclaw-devchain serve --state DIR [--demo] [--port 8899] [--ws-port 8900]\n"
	    "           [--port-b 8999] [--ws-port-b 9000] [--slot-ms 400] [--confirmed-lag 2] "
	    "[--finalized-lag 32]\n"
	    "           [--user NAME]\n"
	    "       multiclaw-devchain COMMAND [--url http://127.0.0.1:8899] [--node a|b] [--name "
	    "value ...]\n"
	    "\n"
	    "A development chain for tests: two Solana RPC nodes on loopback that share one chain "
	    "of Metaplex Core assets.\n"
	    "A port of 0 takes any free one; DIR/ports.json says which. --wait "
	    "processed|confirmed|finalized holds a\n"
	    "command's reply back until its slot is there.\n"
	    "\n"
	    "commands:\n",
	    out);
	control_help(out);
}

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value < min || value > max)
		fatal(
		    "--%s: a number from %" PRIu64 " to %" PRIu64 ", not %s", name, min, max, text);
	return value;
}

static void read_options(int argc, char **argv, struct devchain_options *options)
{
	static const struct option names[] = {{"state", 1, NULL, 's'}, {"port", 1, NULL, 'p'},
	    {"ws-port", 1, NULL, 'w'}, {"port-b", 1, NULL, 'P'}, {"ws-port-b", 1, NULL, 'W'},
	    {"slot-ms", 1, NULL, 'm'}, {"confirmed-lag", 1, NULL, 'c'},
	    {"finalized-lag", 1, NULL, 'f'}, {"demo", 0, NULL, 'd'}, {"user", 1, NULL, 'u'},
	    {NULL, 0, NULL, 0}};
	int option, at;

	while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
		const char *name = option == '?' ? "" : names[at].name;

		switch (option) {
		case 's':
			options->state_dir = optarg;
			break;
		case 'p':
			options->port[0] = (uint16_t)number(name, optarg, 0, UINT16_MAX);
			break;
		case 'w':
			options->ws_port[0] = (uint16_t)number(name, optarg, 0, UINT16_MAX);
			break;
		case 'P':
			options->port[1] = (uint16_t)number(name, optarg, 0, UINT16_MAX);
			break;
		case 'W':
			options->ws_port[1] = (uint16_t)number(name, optarg, 0, UINT16_MAX);
			break;
		case 'm':
			options->slot_ms = number(name, optarg, 1, SLOT_MS_MAX);
			break;
		case 'c':
			options->confirmed_lag = number(name, optarg, 0, LAG_MAX);
			break;
		case 'f':
			options->finalized_lag = number(name, optarg, 0, LAG_MAX);
			break;
		case 'd':
			options->demo = true;
			break;
		case 'u':
			options->user = optarg;
			break;
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (!options->state_dir || optind != argc ||
	    options->finalized_lag < options->confirmed_lag) {
		usage(stderr);
		exit(2);
	}
}

static void on_signal(evutil_socket_t number_, short what, void *base)
{
	(void)number_;
	(void)what;
	event_base_loopbreak(base);
}

static int serve(int argc, char **argv)
{
	struct devchain_options options = {.port = {8899, 8999},
	    .ws_port = {8900, 9000},
	    .slot_ms = 400,
	    .confirmed_lag = 2,
	    .finalized_lag = 32};
	struct event_base *base = event_base_new();
	struct devchain devchain;
	struct error err = {0};

	read_options(argc, argv, &options);
	log_open("devchain", "devchain", LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	bug_if(!base);
	if (options.user && confine(options.user, false, &err) != 0)
		fatal("%s", err.text);
	struct event *stops[] = {evsignal_new(base, SIGINT, on_signal, base),
	    evsignal_new(base, SIGTERM, on_signal, base)};
	for (size_t i = 0; i < ARRAY_LEN(stops); i++)
		event_add(stops[i], NULL);
	if (devchain_open(&devchain, base, &options, &err) != 0)
		fatal("%s", err.text);
	log_info("serving", "state", options.state_dir, "slot_ms", log_u64(options.slot_ms));
	event_base_dispatch(base);
	devchain_close(&devchain);
	for (size_t i = 0; i < ARRAY_LEN(stops); i++)
		event_free(stops[i]);
	event_base_free(base);
	return 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		fatal("libsodium does not start");
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return serve(argc - 1, argv + 1);
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
			    strcmp(argv[1], "help") == 0)) {
		usage(stdout);
		return 0;
	}
	if (argc > 1)
		return control_client(argc - 1, argv + 1);
	usage(stderr);
	return 2;
}
