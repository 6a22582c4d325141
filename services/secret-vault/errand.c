#include "services/secret-vault/errand.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

struct job {
	struct errand errand;
	enum worker_kind kind;
};

static int work(void *arg, struct desk *desk, struct error *err)
{
	struct job *job = arg;
	struct errand *errand = &job->errand;
	if (errand->work(errand, desk, err) != 0)
		return -1;
	return job->kind == WORKER_WRITE
		   ? store_audit_head(desk->db, NULL, &errand->head_seq, errand->head, err)
		   : 0;
}

/* Commits come back in their order, but those of another vault on the same store may lie between. */
static void note_head(struct vault *vault, const struct errand *errand)
{
	if (errand->head_seq <= vault->head_seq)
		return;
	vault->head_seq = errand->head_seq;
	memcpy(vault->head, errand->head, sizeof(vault->head));
}

static void tell(const struct errand *errand, const struct error *err)
{
	log_audit("operator", "act", errand->call->name, "outcome",
	    !err             ? "done"
	    : err->reason[0] ? err->reason
			     : error_name(err->code),
	    "by", errand->by, "trace", bus_request_trace(errand->request));
}

static void end(struct job *job)
{
	codec_wipe(job->errand.call->rsp, job->errand.rsp);
	free(job->errand.rsp);
	free(job);
}

/* Whether the event is there or not: what was asked for is done. */
static void on_told(void *arg, const struct error *err)
{
	struct job *job = arg;
	(void)err;
	bus_reply(job->errand.request, job->errand.rsp);
	end(job);
}

static void done(void *arg, const struct error *err)
{
	struct job *job = arg;
	struct errand *errand = &job->errand;
	if (job->kind == WORKER_WRITE)
		tell(errand, err);
	if (err) {
		bus_fail(errand->request, err);
		end(job);
		return;
	}
	note_head(errand->vault, errand);
	if (errand->has_changed)
		process_add_event(errand->vault->process, LEDGER_OPERATORS, "secret", on_told, job);
	else
		on_told(job, NULL);
}

void errand_begin(struct vault *vault, const struct proto_call *call, enum worker_kind kind,
    int (*errand_work)(struct errand *errand, struct desk *desk, struct error *err),
    const void *req, struct bus_request *request)
{
	struct job *job = calloc(1, sizeof(*job));
	bug_if(!job);
	job->kind = kind;
	job->errand = (struct errand){.vault = vault,
	    .request = request,
	    .call = call,
	    .req = req,
	    .rsp = calloc(1, call->rsp->size),
	    .work = errand_work};
	bug_if(!job->errand.rsp);
	snprintf(job->errand.by, sizeof(job->errand.by), "operator %s", bus_request_peer(request));
	worker_do(vault->worker, kind, work, done, job);
}
