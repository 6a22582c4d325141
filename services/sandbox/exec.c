#include "services/sandbox/exec.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/warden.h"
#include "services/sandbox/snapshot.h"
#include "services/sandbox/text.h"

#define NOTE_MS 5000
#define LONGEST_MS 60000

struct exec {
	struct sandbox *sandbox;
	struct agent *agent; /* NULL: given up */
	struct bus_request *request;
	size_t len;
	char argv[WARDEN_EXEC_BYTES];
	char detail[160 + 1];
	bool is_noted;
};

static void exec_free(struct exec *exec)
{
	sodium_memzero(exec, sizeof(*exec));
	free(exec);
}

/* While the note is under way the callback frees it. */
void exec_fail(struct agent *agent, const struct error *err)
{
	struct exec *exec = agent->exec;
	if (!exec)
		return;
	agent->exec = NULL;
	bus_fail(exec->request, err);
	exec->agent = NULL;
	if (exec->is_noted)
		exec_free(exec);
	if (agent->must_resume)
		snapshot_resume(agent);
}

static void run(struct exec *exec)
{
	struct agent *agent = exec->agent;
	struct sandbox *sandbox = exec->sandbox;
	const struct driver_boot of = {agent->id, agent->boot};
	uint64_t now = clock_unix_ms(), deadline = bus_request_deadline(exec->request);
	uint64_t left = deadline > now ? deadline - now : 1;
	struct error err;
	if (!agent_runs(agent)) {
		error_refuse(&err, ERR_CONFLICT, "agent_not_running", "it does not run now");
		exec_fail(agent, &err);
		return;
	}
	if (sandbox->driver->exec(sandbox->driven, &of, exec->argv, exec->len,
		left < LONGEST_MS ? left : LONGEST_MS, &err) != 0)
		exec_fail(agent, &err);
}

static void on_noted(void *arg, const void *rsp, const struct error *err)
{
	struct exec *exec = arg;
	(void)rsp;
	exec->is_noted = true;
	if (!exec->agent)
		exec_free(exec);
	else if (err)
		exec_fail(exec->agent, err);
	else
		run(exec);
}

static int take_argv(struct exec *exec, const struct sandbox_exec_req *req, struct error *err)
{
	for (size_t i = 0; i < req->argv.len; i++) {
		size_t len = strlen(req->argv.item[i].arg) + 1;
		if (len > sizeof(exec->argv) - exec->len)
			return error_refuse(err, ERR_INVALID, "argv_too_long",
			    "more than %d bytes of arguments", WARDEN_EXEC_BYTES);
		memcpy(exec->argv + exec->len, req->argv.item[i].arg, len);
		exec->len += len;
	}
	return 0;
}

static void note(struct exec *exec)
{
	const struct record *record = &exec->agent->record;
	struct vault_note_req req = {.act = "exec", .placement.len = record->placement_len};
	memcpy(req.placement.data, record->placement, record->placement_len);
	snprintf(req.detail, sizeof(req.detail), "%s", exec->detail);
	log_audit("exec", "agent", exec->agent->id, "what", exec->detail);
	bus_send(exec->sandbox->vaults, &vault_note_call, &req, clock_unix_ms() + NOTE_MS,
	    bus_request_trace(exec->request), on_noted, exec);
	sodium_memzero(&req, sizeof(req));
}

void exec_begin(
    struct agent *agent, const struct sandbox_exec_req *req, struct bus_request *request)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	struct error err;
	char program[100 + 1];
	bug_if(!exec);
	exec->sandbox = agent->sandbox;
	exec->agent = agent;
	exec->request = request;
	int rc = take_argv(exec, req, &err);
	if (rc == 0 && (agent->exec || agent->hook))
		rc = error_refuse(&err, ERR_BUSY, "exec_busy", "another program runs in it");
	if (rc == 0 && !agent_runs(agent))
		rc = error_refuse(&err, ERR_CONFLICT, "agent_not_running", "it does not run now");
	if (rc != 0) {
		bus_fail(request, &err);
		exec_free(exec);
		return;
	}
	agent->exec = exec;
	/* the audit trail is text: what does not fit, or is none, is cut */
	text_copy(program, sizeof(program), req->argv.item[0].arg);
	snprintf(exec->detail, sizeof(exec->detail), "operator %.40s: %s",
	    bus_request_peer(request), program);
	note(exec);
}

static uint64_t exit_status(int status)
{
	return (uint64_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)) & 255;
}

void exec_done(struct agent *agent, int status, bool was_cut, const char *why, int output)
{
	struct exec *exec = agent->exec;
	struct error err;
	if (!exec || !exec->is_noted)
		return;
	if (why[0]) {
		error_refuse(&err, ERR_UNAVAILABLE, "exec_failed", "%s", why);
		exec_fail(agent, &err);
		return;
	}
	struct sandbox_exec_rsp *rsp = calloc(1, sizeof(*rsp));
	bug_if(!rsp);
	ssize_t n = output >= 0 ? pread(output, rsp->output.data, sizeof(rsp->output.data), 0) : 0;
	rsp->output.len = n > 0 ? (size_t)n : 0;
	rsp->status = exit_status(status);
	rsp->cut = was_cut;
	agent->exec = NULL;
	bus_reply(exec->request, rsp);
	exec_free(exec);
	sodium_memzero(rsp, sizeof(*rsp));
	free(rsp);
	if (agent->must_resume)
		snapshot_resume(agent);
}
