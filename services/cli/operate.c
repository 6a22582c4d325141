/* What an operator does: look at every process, end sessions, ban, repair, make keys. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/status.h"
#include "proto/oracle.h"
#include "proto/session.h"
#include "services/cli/keys.h"
#include "services/cli/operator.h"

static json_t *status_json(
    const char *address, const struct service_status_rsp *rsp, const struct error *err)
{
	json_t *checks = json_array();

	if (!rsp)
		return json_pack("{ss so ss so}", "address", address, "ready", json_false(),
		    "error", err->text, "checks", checks);
	for (size_t i = 0; i < rsp->checks.len; i++)
		json_array_append_new(
		    checks, json_pack("{ss sb ss}", "name", rsp->checks.item[i].name, "ok",
				rsp->checks.item[i].ok, "why", rsp->checks.item[i].why));
	return json_pack("{ss ss ss ss sb sI sI ss ss sI so}", "address", address, "service",
	    rsp->service, "replica", rsp->replica, "version", rsp->version, "ready", rsp->ready,
	    "started_at_ms", (json_int_t)rsp->started_at, "lease_ms", (json_int_t)rsp->lease_ms,
	    "history", rsp->history, "cursor", rsp->cursor, "chain_slot",
	    (json_int_t)rsp->chain_slot, "checks", checks);
}

static void status_line(
    const char *address, const struct service_status_rsp *rsp, const struct error *err)
{
	if (!rsp) {
		printf("%-16s %-9s %s: %s\n", "?", "DOWN", address, err->text);
		return;
	}
	printf("%-16s %-9s lease %4" PRIu64 " ms  chain slot %" PRIu64, rsp->replica,
	    rsp->ready ? "ready" : "NOT READY", rsp->lease_ms, rsp->chain_slot);
	if (rsp->chain_slot)
		printf(" (%.1f s old)", (double)rsp->chain_age_ms / 1000);
	for (size_t i = 0; i < rsp->checks.len; i++) {
		if (rsp->checks.item[i].ok)
			continue;
		printf("  %s: ", rsp->checks.item[i].name);
		cli_print_text(rsp->checks.item[i].why);
	}
	putchar('\n');
}

/* Of a sandbox, behind its name: "sandbox-1=ipc://...". */
static const char *address_of(enum role role, const char *item)
{
	const char *equals = role == ROLE_SANDBOX ? strchr(item, '=') : NULL;

	return equals ? equals + 1 : item;
}

/* Asks every replica of one service; returns how many are not ready. */
static size_t status_of(struct operator* operator, enum role role,
    const struct setting_list *addresses, json_t *all, bool quiet)
{
	size_t missing = 0;

	for (size_t i = 0; i < addresses->len; i++) {
		struct service_status_req req;
		struct service_status_rsp *rsp = calloc(1, sizeof(*rsp));
		struct error err = {0};
		const char *address = address_of(role, addresses->item[i]);
		int rc =
		    operator_call(operator, address, role, &service_status_call, &req, rsp, &err);
		const struct service_status_rsp *answer = rc == 0 ? rsp : NULL;
		missing += rc < 0 || !rsp->ready;
		if (all)
			json_array_append_new(all, status_json(address, answer, &err));
		else if (!quiet)
			status_line(address, answer, &err);
		free(rsp);
	}
	return missing;
}

static const struct asked {
	enum role role;
	const char *setting;
	size_t list; /* its addresses in the suite's settings */
} services[] = {
    {ROLE_ROUTER, "ROUTERS", offsetof(struct suite_settings, routers)},
    {ROLE_AUTH, "AUTHS", offsetof(struct suite_settings, auths)},
    {ROLE_SESSION, "SESSIONS", offsetof(struct suite_settings, sessions)},
    {ROLE_ORACLE, "ORACLES", offsetof(struct suite_settings, oracles)},
    {ROLE_VAULT, "VAULTS", offsetof(struct suite_settings, vaults)},
    /* none: a suite without it */
    {ROLE_WALLET, "WALLETS", offsetof(struct suite_settings, wallets)},
    /* none: a suite without containers */
    {ROLE_SANDBOX, "SANDBOXES", offsetof(struct suite_settings, sandboxes)},
};

static const struct setting_list *list_of(
    const struct suite_settings *settings, const struct asked *service)
{
	return (const void *)((const char *)settings + service->list);
}

static size_t status_all(struct operator* operator, unsigned roles, json_t *all, bool quiet)
{
	size_t missing = 0;

	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (services[i].role & roles)
			missing += status_of(operator, services[i].role,
			    list_of(&operator->settings, &services[i]), all, quiet);
	return missing;
}

/* Replicas that nobody named would be missed by nobody. */
static int check_lists(const struct suite_settings *settings, unsigned roles, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (services[i].role & roles & ~(unsigned)(ROLE_SANDBOX | ROLE_WALLET) &&
		    !list_of(settings, &services[i])->len)
			return error_set(
			    err, ERR_INVALID, "MULTICLAW_%s names no replica", services[i].setting);
	return 0;
}

int cli_status(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};
	const char *value;
	uint64_t until = 0;
	unsigned roles = ROLE_DAEMONS;

	for (int i = 1; i < argc; i++) {
		if ((value = cli_option("--without", argc, argv, &i))) {
			unsigned role = role_parse(value);
			if (!role)
				return cli_usage("status: there is no service '%s'", value);
			roles &= ~role;
			continue;
		}
		if (!(value = cli_option("--wait", argc, argv, &i)))
			return cli_usage("status: what is '%s'?", argv[i]);
		if (!*value || strlen(value) > 6 || strspn(value, "0123456789") != strlen(value))
			return cli_usage("status: --wait takes whole seconds, not '%s'", value);
		until = clock_boot_ms() + (uint64_t)strtoul(value, NULL, 10) * 1000;
	}
	if (operator_open(&operator, cli, &err) < 0 ||
	    check_lists(&operator.settings, roles, &err) < 0)
		return cli_fail(&err);
	operator.ready_ms = READY_SOON_MS;
	while (until && clock_boot_ms() < until && status_all(&operator, roles, NULL, true) > 0)
		usleep(50000);
	json_t *all = cli->json ? json_array() : NULL;
	size_t missing = status_all(&operator, roles, all, false);
	if (all)
		cli_print_json(all);
	return missing ? CLI_UNAVAILABLE : CLI_OK;
}

/* Sends to one replica after another until one answers. */
static int ask_any(struct operator* operator, bool oracle, const struct proto_call *call,
    const void *req, void *rsp, struct error *err)
{
	const struct setting_list *to =
	    oracle ? &operator->settings.oracles : & operator->settings.sessions;
	error_set(err, ERR_INVALID, "the settings name no replica to ask");
	for (size_t i = 0; i < to->len; i++) {
		operator->ready_ms = i + 1<to->len ? READY_SOON_MS : 0;
		int rc = operator_call(operator, to->item[i], oracle ? ROLE_ORACLE : ROLE_SESSION,
		    call, req, rsp, err);
		if (rc == 0)
			return 0;
		if (err->code != ERR_UNAVAILABLE)
			break;
	}
	return -1;
}

static int call_any(
    struct cli *cli, bool oracle, const struct proto_call *call, const void *req, void *rsp)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};

	if (operator_open(&operator, cli, &err) < 0 ||
	    ask_any(&operator, oracle, call, req, rsp, &err) < 0)
		return cli_fail(&err);
	return CLI_OK;
}

static int report_event(const struct cli *cli, int rc, const char *event, const char *history)
{
	if (rc != CLI_OK)
		return rc;
	if (cli->json)
		cli_print_json(json_pack("{ss ss}", "event", event, "history", history));
	else if (event[0])
		printf("Done: event %s. Every replica denies within 2 s.\n", event);
	else
		puts("There was no such session.");
	return event[0] ? CLI_OK : CLI_FAILED;
}

/* ---- waiting until everybody has enforced it */

#define WAIT_S 60
#define WAIT_MS 3000 /* of one call */

static bool is_open(const struct session_enforced_rsp *rsp)
{
	for (size_t i = 0; i < rsp->replicas.len; i++)
		if (strcmp(rsp->replicas.item[i].state, "open") == 0)
			return true;
	return rsp->settling;
}

static const char *short_of(const struct session_enforced_rsp *rsp)
{
	if (rsp->lost)
		return "Redis lost the event: do it again.";
	if (rsp->settling)
		return "Nothing is done while a history settles.";
	return "Not everybody has enforced it.";
}

static json_t *receipt_json(
    const struct session_end_rsp *ended, const struct session_enforced_rsp *rsp)
{
	json_t *replicas = json_array();

	for (size_t i = 0; i < rsp->replicas.len; i++) {
		const struct replicas_item *item = &rsp->replicas.item[i];
		json_t *json = json_pack("{ss ss ss sI}", "replica", item->replica, "role",
		    item->role, "state", item->state, "silent_ms", (json_int_t)item->silent_ms);
		if (strcmp(item->state, "done") == 0)
			json_object_set_new(json, "ms", json_integer((json_int_t)item->ms));
		json_array_append_new(replicas, json);
	}
	return json_pack("{ss ss sI sb sb so}", "event", ended->event, "history", ended->history,
	    "slot", (json_int_t)ended->slot, "done", rsp->done, "lost", rsp->lost, "replicas",
	    replicas);
}

static void print_receipt(
    const struct session_end_rsp *ended, const struct session_enforced_rsp *rsp)
{
	printf("Event %s, slot %" PRIu64 "\n", ended->event, ended->slot);
	for (size_t i = 0; i < rsp->replicas.len; i++) {
		const struct replicas_item *item = &rsp->replicas.item[i];
		printf("  %-20s %-14s ", item->replica, item->role);
		if (strcmp(item->state, "done") == 0)
			printf("enforced after %" PRIu64 " ms\n", item->ms);
		else if (strcmp(item->state, "silent") == 0)
			printf("SILENT for %" PRIu64 " s\n", item->silent_ms / 1000);
		else
			puts("not yet");
	}
	puts(rsp->done ? "Everybody who lives has enforced it." : short_of(rsp));
}

/* Asks until nobody is open any more. A session replica that cannot say it now may a little later: a history may settle. */
static int wait_enforced(struct cli *cli, const struct session_end_rsp *ended)
{
	scoped_operator struct operator operator= {0};
	struct session_enforced_req req = {.wait_ms = WAIT_MS};
	struct session_enforced_rsp *rsp = calloc(1, sizeof(*rsp));
	struct error err = {0};
	uint64_t until = clock_boot_ms() + WAIT_S * 1000;
	int rc;

	snprintf(req.event, sizeof(req.event), "%s", ended->event);
	snprintf(req.history, sizeof(req.history), "%s", ended->history);
	rc = operator_open(&operator, cli, &err);
	while (rc == 0) {
		rc = ask_any(&operator, false, &session_enforced_call, &req, rsp, &err);
		bool is_late = clock_boot_ms() >= until;
		if (rc == 0 && (is_late || rsp->done || rsp->lost || !is_open(rsp)))
			break;
		if (rc < 0 && (is_late || err.code != ERR_UNAVAILABLE))
			break;
		if (rc < 0)
			usleep(200000);
		rc = 0;
	}
	if (rc == 0 && cli->json)
		cli_print_json(receipt_json(ended, rsp));
	else if (rc == 0)
		print_receipt(ended, rsp);
	rc = rc < 0      ? cli_fail(&err)
	     : rsp->done ? CLI_OK
	     : rsp->lost ? CLI_FAILED
			 : CLI_UNAVAILABLE;
	free(rsp);
	return rc;
}

static int report_ended(
    struct cli *cli, int rc, const struct session_end_rsp *ended, bool must_wait)
{
	if (rc != CLI_OK || !must_wait || !ended->event[0])
		return report_event(cli, rc, ended->event, ended->history);
	return wait_enforced(cli, ended);
}

int cli_revoke(struct cli *cli, int argc, char **argv)
{
	struct session_revoke_req req = {0};
	struct session_end_rsp rsp = {0}; /* the answer has the same fields */
	const char *value;
	bool must_wait = false;

	for (int i = 1; i < argc; i++) {
		int rc = CLI_OK;
		if ((value = cli_option("--asset", argc, argv, &i)))
			rc = cli_copy(req.asset, sizeof(req.asset), value, "an address");
		else if ((value = cli_option("--session", argc, argv, &i)))
			rc = cli_copy(req.jti, sizeof(req.jti), value, "a session's jti");
		else if (strcmp(argv[i], "--all") == 0)
			req.everything = true;
		else if (strcmp(argv[i], "--wait") == 0)
			must_wait = true;
		else if (argv[i][0] != '-' && !req.what[0])
			rc = cli_copy(req.what, sizeof(req.what), argv[i],
			    "an asset, a session's jti, or a wallet");
		else
			rc = cli_usage("revoke: what is '%s'?", argv[i]);
		if (rc != CLI_OK)
			return rc;
	}
	if (req.everything + (req.asset[0] != '\0') + (req.what[0] != '\0') != 1 ||
	    (req.jti[0] && !req.asset[0]))
		return cli_usage(
		    "revoke: ASSET, JTI or WALLET, --all, or --asset ADDRESS [--session "
		    "JTI]");
	return report_ended(
	    cli, call_any(cli, false, &session_revoke_call, &req, &rsp), &rsp, must_wait);
}

static int ban(struct cli *cli, int argc, char **argv, bool banned)
{
	struct session_ban_req req = {.banned = banned};
	struct session_end_rsp rsp = {0};
	bool must_wait = argc > 1 && strcmp(argv[1], "--wait") == 0;

	if (argc != 2 + must_wait)
		return cli_usage("%s: one wallet address is needed", argv[0]);
	if (cli_copy(req.wallet, sizeof(req.wallet), argv[1 + must_wait], "an address") != CLI_OK)
		return CLI_USAGE;
	return report_ended(
	    cli, call_any(cli, false, &session_ban_call, &req, &rsp), &rsp, must_wait);
}

int cli_unlist(struct cli *cli, int argc, char **argv)
{
	struct session_unlist_req req = {0};
	struct session_unlist_rsp rsp = {0};

	if (argc != 2)
		return cli_usage("unlist: one replica's name is needed");
	if (cli_copy(req.replica, sizeof(req.replica), argv[1], "a replica") != CLI_OK)
		return CLI_USAGE;
	int rc = call_any(cli, false, &session_unlist_call, &req, &rsp);
	if (rc == CLI_OK && !rsp.was_listed) {
		fputs("multiclaw: no replica of that name is listed\n", stderr);
		rc = CLI_FAILED;
	}
	return rc == CLI_OK
		   ? cli_report(cli, "unlisted", req.replica, "It is not waited for any more.")
		   : rc;
}

int cli_ban(struct cli *cli, int argc, char **argv)
{
	return ban(cli, argc, argv, true);
}

int cli_unban(struct cli *cli, int argc, char **argv)
{
	return ban(cli, argc, argv, false);
}

int cli_asset(struct cli *cli, int argc, char **argv)
{
	struct oracle_reset_req req = {0};
	struct oracle_reset_rsp rsp = {0};

	if (argc != 3 || strcmp(argv[1], "reset") != 0)
		return cli_usage("asset: 'asset reset ADDRESS'");
	if (cli_copy(req.asset, sizeof(req.asset), argv[2], "an address") != CLI_OK)
		return CLI_USAGE;
	return report_event(
	    cli, call_any(cli, true, &oracle_reset_call, &req, &rsp), rsp.event, rsp.history);
}

int cli_keys(struct cli *cli, int argc, char **argv)
{
	struct error err = {0};
	int rc;

	(void)cli;
	if (argc == 3 && strcmp(argv[1], "init") == 0)
		rc = keys_init(argv[2], &err);
	else if (argc == 3 && strcmp(argv[1], "rotate") == 0)
		rc = keys_rotate(argv[2], &err);
	else if (argc == 4 && strcmp(argv[1], "retire") == 0)
		rc = keys_retire(argv[2], argv[3], &err);
	else
		return cli_usage(
		    "keys: 'keys init FOLDER', 'keys rotate FOLDER' or 'keys retire FOLDER KID'");
	return rc == 0 ? CLI_OK : cli_fail(&err);
}
