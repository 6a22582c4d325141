#include "services/cli/agents.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "proto/sandbox.h"
#include "proto/session.h"
#include "services/cli/operator.h"
#include "services/cli/progress.h"
#include "services/cli/wiped.h"

#define CALL_MS 30000 /* a program in a container may take its time */

static int open_operator(struct operator* operator, const struct cli * cli, struct error *err)
{
	if (operator_open(operator, cli, err) < 0)
		return -1;
	operator->call_ms = CALL_MS;
	if (!operator->settings.sandboxes.len)
		return error_set(err, ERR_INVALID, "MULTICLAW_SANDBOXES names no sandbox");
	return 0;
}

/* "sandbox-1=ipc://...": what is behind the name. */
static const char *address_of(const char *item)
{
	const char *equals = strchr(item, '=');

	return equals ? equals + 1 : item;
}

static const char *find(const struct operator* operator, const char * name)
{
	const struct setting_list *all = &operator->settings.sandboxes;
	size_t len = strlen(name);

	for (size_t i = 0; i < all->len; i++)
		if (strncmp(all->item[i], name, len) == 0 && all->item[i][len] == '=')
			return all->item[i] + len + 1;
	return NULL;
}

/* A reason is all that the bus carries of most errors. */
static int explain(
    const struct operator* operator, const struct proto_call * call, struct error *err)
{
	/* the operator is known; what was refused is what was said */
	if (err->code == ERR_UNAUTHENTICATED)
		err->code = ERR_DENIED;
	if (strcmp(err->reason, "agent_unknown") == 0)
		return error_refuse(
		    err, ERR_NOT_FOUND, "agent_unknown", "no host has an agent of this asset");
	if (strcmp(err->reason, "snapshot_needed") == 0)
		return error_refuse(err, ERR_CONFLICT, "snapshot_needed",
		    "it has files that could not be saved: its owner is told why, and starts it "
		    "again; --lost moves it without them");
	if (strcmp(err->reason, "agent_not_running") == 0)
		return error_refuse(err, ERR_CONFLICT, "agent_not_running", "it does not run now");
	if (err->code == ERR_DENIED && !err->reason[0] &&
	    (call == &sandbox_exec_call || call == &sandbox_wake_call))
		return error_refuse(err, ERR_DENIED, "role_missing",
		    "this needs the role operator-exec, which no key has by default: add "
		    "'+operator-exec' to the operator's line in %s/curve/peers of the host",
		    operator->settings.keys);
	return -1;
}

static int call_at(struct operator* operator, const char * address, const struct proto_call *call,
    const void *req, void *rsp, struct error *err)
{
	memset(rsp, 0, call->rsp->size);
	return operator_call(operator, address, ROLE_SANDBOX, call, req, rsp, err);
}

/* The sandbox that has the agent. Each knows who that is, or has it itself; host: of the call's reply. A ONCE call that may have been done is not sent again. */
static int call_agent(struct operator* operator, const struct proto_call * call, const void *req,
    void *rsp, const char *host, struct error *err)
{
	const struct setting_list *all = &operator->settings.sandboxes;

	for (size_t i = 0; i < all->len; i++) {
		const char *address = address_of(all->item[i]);
		int rc = call_at(operator, address, call, req, rsp, err);
		if (rc == 0 && host[0]) {
			const char *told = find(operator, host);
			if (!told)
				return error_set(err, ERR_UNAVAILABLE,
				    "the agent is at %s, which MULTICLAW_SANDBOXES does not name",
				    host);
			rc = call_at(operator, told, call, req, rsp, err);
			if (rc == 0 && host[0])
				return error_set(
				    err, ERR_UNAVAILABLE, "the agent is on its way to %s", host);
			return rc == 0 ? 0 : explain(operator, call, err);
		}
		if (rc == 0)
			return 0;
		if (err->code != ERR_NOT_FOUND && err->code != ERR_UNAVAILABLE)
			break;
	}
	return explain(operator, call, err);
}

/* ---- list ---- */

static json_t *agent_json(const char *host, const struct agents_item *agent)
{
	return json_pack("{ss ss ss ss sI ss ss ss ss sI sI}", "host", host, "agent_id",
	    agent->agent, "asset", agent->asset, "wallet", agent->wallet, "slot",
	    (json_int_t)agent->slot, "state", agent->state, "why", agent->why, "boot_id",
	    agent->boot_id, "upstream", agent->upstream, "started_ms",
	    (json_int_t)agent->started_ms, "restarts", (json_int_t)agent->restarts);
}

static void print_agent(const char *host, const struct agents_item *agent)
{
	cli_print_text(agent->asset);
	printf("%*s", (int)(46 - strlen(agent->asset)), "");
	cli_print_text(agent->state);
	printf("%*s", (int)(10 - strlen(agent->state)), "");
	printf("%s  ", host);
	cli_print_text(agent->upstream[0] ? agent->upstream : "-");
	printf("  restarts %" PRIu64, agent->restarts);
	if (agent->why[0]) {
		fputs("  ", stdout);
		cli_print_text(agent->why);
	}
	putchar('\n');
}

/* Page by page; ids only ever grow, so a sandbox that goes on for ever is found out. */
static int list_of(struct operator* operator, const char * item, json_t *all, struct error *err)
{
	char host[65];
	struct sandbox_agents_req req = {0};
	scoped_free struct sandbox_agents_rsp *rsp = calloc(1, sizeof(*rsp));

	bug_if(!rsp);
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(item, "="), item);
	do {
		if (call_at(operator, address_of(item), &sandbox_agents_call, &req, rsp, err) < 0)
			return explain(operator, & sandbox_agents_call, err);
		for (size_t i = 0; i < rsp->agents.len; i++) {
			const struct agents_item *agent = &rsp->agents.item[i];
			if (strcmp(agent->agent, req.after) <= 0)
				return error_set(err, ERR_INTERNAL, "%s lists out of order", host);
			snprintf(req.after, sizeof(req.after), "%s", agent->agent);
			if (all)
				json_array_append_new(all, agent_json(host, agent));
			else
				print_agent(host, agent);
		}
	} while (rsp->more && rsp->agents.len);
	return 0;
}

int agents_list(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};
	int exit_code = CLI_OK;

	if (argc > 2)
		return cli_usage("agent list: what is '%s'?", argv[2]);
	if (open_operator(&operator, cli, &err) < 0)
		return cli_fail(&err);
	json_t *all = cli->json ? json_array() : NULL;
	for (size_t i = 0; i < operator.settings.sandboxes.len; i++)
		if (list_of(&operator, operator.settings.sandboxes.item[i], all, &err) < 0)
			exit_code = cli_fail(&err);
	if (all)
		cli_print_json(all);
	return exit_code;
}

/* ---- halt, wake ---- */

int agents_change(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};
	struct sandbox_halt_req req = {0};
	struct sandbox_halt_rsp rsp;
	bool is_halt = strcmp(argv[1], "halt") == 0;

	if (argc != 3)
		return cli_usage("agent %s ASSET", argv[1]);
	if (cli_copy(req.asset, sizeof(req.asset), argv[2], "an address") != CLI_OK)
		return CLI_USAGE;
	/* wake's messages are halt's (proto/sandbox.h) */
	const struct proto_call *call = is_halt ? &sandbox_halt_call : &sandbox_wake_call;
	bug_if(call->req->size != sizeof(req) || call->rsp->size != sizeof(rsp));
	if (open_operator(&operator, cli, &err) < 0 ||
	    call_agent(&operator, call, &req, &rsp, rsp.host, &err) < 0)
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(json_pack("{ss ss ss ss}", "asset", req.asset, "state", rsp.state,
		    "why", rsp.why, "boot_id", rsp.boot_id));
		return CLI_OK;
	}
	cli_print_text(rsp.state);
	if (rsp.why[0]) {
		fputs(": ", stdout);
		cli_print_text(rsp.why);
	}
	putchar('\n');
	return CLI_OK;
}

/* ---- move ---- */

/* A host that is busy with it, or an answer that was lost, is asked again. The host that has it, saved and stopped, is the one that was asked last. */
static int save_and_stop(
    struct operator* operator, const struct sandbox_move_req * req, struct error *err)
{
	struct sandbox_move_rsp rsp;
	uint64_t heard_ms = clock_boot_ms();

	for (;; sleep(1)) {
		if (call_agent(operator, & sandbox_move_call, req, &rsp, rsp.host, err) == 0) {
			if (rsp.moved)
				break;
			if (!rsp.doing[0])
				return error_set(err, ERR_INTERNAL, "it did not begin");
			heard_ms = clock_boot_ms();
			progress_show("moving: saving it, and stopping it where it is");
		} else if ((err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) ||
			   clock_boot_ms() - heard_ms > CALL_MS) {
			progress_show("");
			return -1;
		}
	}
	progress_show("");
	return 0;
}

static void name_of_asked(const struct operator* operator, char * buf, size_t size)
{
	const struct setting_list *all = &operator->settings.sandboxes;

	buf[0] = '\0';
	for (size_t i = 0; i < all->len; i++)
		if (strcmp(address_of(all->item[i]), operator->address) == 0)
			snprintf(buf, size, "%.*s", (int)strcspn(all->item[i], "="), all->item[i]);
}

/* Of any replica of session: asked twice, it is done once. */
static int place(struct operator* operator, const struct session_place_req * req,
    struct session_place_rsp *rsp, struct error *err)
{
	const struct setting_list *all = &operator->settings.sessions;
	int rc = error_set(err, ERR_INVALID, "MULTICLAW_SESSIONS names no replica to ask");

	for (size_t i = 0; i < all->len; i++) {
		operator->ready_ms = i + 1<all->len ? READY_SOON_MS : 0;
		rc = operator_call(operator, all->item[i], ROLE_SESSION, &session_place_call, req,
		    rsp, err);
		if (rc == 0 || (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT))
			break;
	}
	if (rc != 0)
		return rc;
	if (!rsp->moved && !rsp->was[0])
		return error_refuse(
		    err, ERR_NOT_FOUND, "agent_unknown", "no host has an agent of this asset");
	if (!rsp->moved)
		return error_set(err, ERR_CONFLICT,
		    "%s has it by now, and nothing was moved: try again", rsp->was);
	return 0;
}

/* lost: whoever has it cannot be asked; if that one lives after all, it hears of it, and kills what it has. */
static int move(struct operator* operator, const struct sandbox_move_req * req, bool lost,
    struct session_place_rsp *rsp, struct error *err)
{
	struct session_place_req placing = {0};

	memcpy(placing.asset, req->asset, sizeof(placing.asset));
	memcpy(placing.to, req->to, sizeof(placing.to));
	if (!lost) {
		if (save_and_stop(operator, req, err) < 0)
			return -1;
		name_of_asked(operator, placing.from, sizeof(placing.from));
	}
	return place(operator, & placing, rsp, err);
}

static int report_move(const struct cli *cli, const struct sandbox_move_req *req, const char *was)
{
	char done[320];

	if (strcmp(was, req->to) == 0)
		snprintf(done, sizeof(done), "%s is on %s already.", req->asset, req->to);
	else
		snprintf(done, sizeof(done),
		    "%s was on %s and is on %s now: its owner's next visit starts it there.",
		    req->asset, was, req->to);
	return cli_report(cli, "moved", req->to, done);
}

int agents_move(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};
	struct sandbox_move_req req = {0};
	struct session_place_rsp rsp = {0};
	const char *words[2] = {"", ""};
	bool lost = false;
	int n = 0;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--lost") == 0)
			lost = true;
		else if (n == 2 || argv[i][0] == '-')
			return cli_usage("agent move ASSET HOST [--lost]: what is '%s'?", argv[i]);
		else
			words[n++] = argv[i];
	}
	if (n != 2)
		return cli_usage("agent move ASSET HOST [--lost]");
	if (cli_copy(req.asset, sizeof(req.asset), words[0], "an address") != CLI_OK ||
	    cli_copy(req.to, sizeof(req.to), words[1], "a host's name") != CLI_OK)
		return CLI_USAGE;
	if (open_operator(&operator, cli, &err) < 0)
		return cli_fail(&err);
	if (!find(&operator, req.to))
		return cli_usage("MULTICLAW_SANDBOXES names no host '%s'", req.to);
	if (move(&operator, & req, lost, &rsp, &err) < 0)
		return cli_fail(&err);
	return report_move(cli, &req, rsp.was);
}

/* ---- exec ---- */

/* agent exec [--raw] ASSET [--] CMD ARGS... */
static int read_exec(int argc, char **argv, struct sandbox_exec_req *req_r, bool *raw_r)
{
	int at = 2;

	*raw_r = at < argc && strcmp(argv[at], "--raw") == 0;
	at += *raw_r;
	if (at + 1 >= argc)
		return cli_usage("agent exec [--raw] ASSET -- PROGRAM [ARGUMENTS]");
	if (cli_copy(req_r->asset, sizeof(req_r->asset), argv[at++], "an address") != CLI_OK)
		return CLI_USAGE;
	at += strcmp(argv[at], "--") == 0;
	if (at == argc || (size_t)(argc - at) > ARRAY_LEN(req_r->argv.item))
		return cli_usage("agent exec: a program with at most %zu arguments",
		    ARRAY_LEN(req_r->argv.item) - 1);
	for (; at < argc; at++) {
		struct argv_item *item = &req_r->argv.item[req_r->argv.len++];
		if (strlen(argv[at]) >= sizeof(item->arg))
			return cli_usage("agent exec: an argument is longer than %zu bytes",
			    sizeof(item->arg) - 1);
		snprintf(item->arg, sizeof(item->arg), "%s", argv[at]);
	}
	return CLI_OK;
}

static int print_exec(const struct cli *cli, const struct sandbox_exec_rsp *rsp, bool raw)
{
	scoped_wiped char *text = calloc(1, rsp->output.len + 1);

	bug_if(!text);
	memcpy(text, rsp->output.data, rsp->output.len);
	if (cli->json) {
		json_t *output = json_stringn(text, rsp->output.len);
		cli_print_json(json_pack("{sI so sb}", "status", (json_int_t)rsp->status, "output",
		    output ? output : json_null(), "cut", rsp->cut));
	} else {
		agents_print(text, rsp->output.len, raw);
		fflush(stdout);
		if (rsp->cut)
			fputs("multiclaw: there was more output than is kept\n", stderr);
		if (rsp->status)
			fprintf(
			    stderr, "multiclaw: the program ended with %" PRIu64 "\n", rsp->status);
	}
	return rsp->status ? CLI_FAILED : CLI_OK;
}

int agents_exec(struct cli *cli, int argc, char **argv)
{
	scoped_operator struct operator operator= {0};
	struct error err = {0};
	scoped_free struct sandbox_exec_req *req = calloc(1, sizeof(*req));
	scoped_free struct sandbox_exec_rsp *rsp = calloc(1, sizeof(*rsp));
	bool raw;

	bug_if(!req || !rsp);
	if (read_exec(argc, argv, req, &raw) != CLI_OK)
		return CLI_USAGE;
	if (open_operator(&operator, cli, &err) < 0 ||
	    call_agent(&operator, & sandbox_exec_call, req, rsp, rsp->host, &err) < 0)
		return cli_fail(&err);
	int exit_code = print_exec(cli, rsp, raw);
	sodium_memzero(rsp, sizeof(*rsp));
	return exit_code;
}
