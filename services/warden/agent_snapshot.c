#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/packet.h"
#include "services/warden/secret_files.h"
#include "services/warden/snapshot_job.h"
#include "services/warden/warden.h"

/* ---- what sandbox is told ---- */

static const char *outcome_name(uint32_t outcome)
{
	static const char *const names[] = {
	    "made", "unchanged", "a secret was found", "too large", "not saved"};

	return names[outcome < ARRAY_LEN(names) ? outcome : WARDEN_NOT_SAVED];
}

static void say_snapshotted(const struct agent *agent, const struct packer_report *report)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_SNAPSHOTTED);
	packet.u.snapshotted.outcome = report->outcome;
	packet.u.snapshotted.bytes = report->bytes;
	packet.u.snapshotted.files = report->files;
	packet.u.snapshotted.stored_bytes = report->stored_bytes;
	packet.u.snapshotted.unsettled = report->unsettled;
	packet.u.snapshotted.skipped = report->skipped;
	memcpy(packet.u.snapshotted.digest, report->digest, sizeof(report->digest));
	memcpy(packet.u.snapshotted.fingerprint, report->fingerprint, sizeof(report->fingerprint));
	packet_put(packet.u.snapshotted.path, sizeof(packet.u.snapshotted.path), report->path);
	packet_put(
	    packet.u.snapshotted.kind, sizeof(packet.u.snapshotted.kind), report->kind_of_secret);
	packet_put(packet.u.snapshotted.text, sizeof(packet.u.snapshotted.text), report->text);
	log_info("a snapshot is over", "agent", agent->record.agent, "outcome",
	    outcome_name(report->outcome), "files", log_u64(report->files), "bytes",
	    log_u64(report->bytes), "stored", log_u64(report->stored_bytes), "why", report->text);
	peer_send(agent->warden->peer, &packet, -1);
}

static void take_failure(struct packer_report *report, const char *why)
{
	*report = (struct packer_report){.kind = PACKER_DONE, .outcome = WARDEN_NOT_SAVED};
	packet_put(report->text, sizeof(report->text), why);
}

static void refuse(const struct agent *agent, const char *why)
{
	struct packer_report report;

	take_failure(&report, why);
	say_snapshotted(agent, &report);
}

/* ---- its job ---- */

static void kill_packer(const struct agent *agent)
{
	char name[PACKER_GROUP_LEN];

	packer_group(agent->record.agent, name);
	cgroup_kill(&agent->warden->host.cgroups, name);
}

/* Its job is over, however it ended. One that is still at its end is looked after by who cleans up. */
static void forget_packer(const struct agent *agent)
{
	const struct cgroups *cgroups = &agent->warden->host.cgroups;
	char name[PACKER_GROUP_LEN];
	struct error err;

	kill_packer(agent);
	cgroup_freeze(cgroups, agent->record.agent, false);
	packer_group(agent->record.agent, name);
	cgroup_remove(cgroups, name, &err);
}

static void on_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct agent *agent = arg;
	struct packer_report *saved = &agent->saved;

	if (report->kind == SNAPSHOT_SAVING)
		agent_say_saving(agent, report->number, report->more);
	else if (report->kind == SNAPSHOT_FAILED)
		take_failure(saved, report->text);
	else if (nfds == 1 && pread(fds[0], saved, sizeof(*saved), 0) != (ssize_t)sizeof(*saved))
		take_failure(saved, "its report cannot be read");
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

static void on_end(void *arg, int status)
{
	struct agent *agent = arg;

	(void)status;
	bool goes_on = agent->state == AGENT_RUNNING || agent->state == AGENT_HELD;
	agent->save = NULL;
	/* of one that ends, who cleans up sees to that: its end waits for nothing */
	if (goes_on)
		forget_packer(agent);
	if (agent->saved.kind != PACKER_DONE)
		take_failure(&agent->saved, goes_on ? "it was given up" : "the agent was ended");
	say_snapshotted(agent, &agent->saved);
	/* the rest of it waits for this */
	if (agent->state == AGENT_CLEANING)
		agent_clean(agent);
}

static void take_order(
    const struct agent *agent, struct warden_packet *packet, struct packer_order *order)
{
	const struct record *record = &agent->record;
	uid_t base = host_uid_base(&agent->warden->host, record->slot);

	order->uid = base + record->uid;
	order->gid = base + record->gid;
	packet_put(order->agent, sizeof(order->agent), record->agent);
	order->archive = packet->u.snapshot.archive;
	order->bytes_max = packet->u.snapshot.bytes_max;
	memcpy(order->fingerprint, packet->u.snapshot.fingerprint, sizeof(order->fingerprint));
	order->level = packet->u.snapshot.level;
	memcpy(order->roots, packet->u.snapshot.roots, sizeof(order->roots));
	memcpy(order->excluded, packet->u.snapshot.excluded, sizeof(order->excluded));
	/* what is forked now must not have it anywhere but in the order */
	sodium_memzero(&packet->u.snapshot.archive, sizeof(packet->u.snapshot.archive));
}

static int begin(
    struct agent *agent, struct warden_packet *packet, const int fds[2], struct error *err)
{
	struct warden *warden = agent->warden;
	struct snapshot_job work = {.host = &warden->host,
	    .root = agent->root,
	    .archive = fds[0],
	    .secrets = fds[1],
	    .given = agent->secrets,
	    .must_freeze = packet->u.snapshot.must_freeze && agent->state == AGENT_RUNNING};
	struct job_hooks hooks = {agent_close_others, on_report, on_end, agent};

	scoped_fd int group =
	    packer_make_group(&warden->host, agent->record.agent, work.group_name, err);
	if (group < 0)
		return -1;
	work.group = group;
	take_order(agent, packet, &work.order);
	agent->saved = (struct packer_report){.kind = PACKER_PROGRESS};
	agent->save = job_start(warden->reaper, group, &hooks, snapshot_job_run, &work);
	sodium_memzero(&work, sizeof(work));
	return agent->save ? 0 : error_set(err, ERR_UNAVAILABLE, "no process can be made");
}

/* Nobody's files are sealed as another owner's. What is handed over is of no period. */
static bool is_its_own(const struct agent *agent, const struct warden_archive *archive)
{
	const struct record *record = &agent->record;

	return strcmp(archive->wallet, record->wallet) == 0 &&
	       (archive->period == record->period || archive->period == 0);
}

static int may_begin(const struct agent *agent, const struct warden_packet *packet,
    const int fds[2], struct error *err)
{
	struct secret_files about;

	if (agent->save)
		return error_set(err, ERR_CONFLICT, "another snapshot is under way");
	if (agent->state != AGENT_RUNNING && agent->state != AGENT_HELD)
		return error_set(err, ERR_CONFLICT, "it does not run, and is not held");
	if (!is_its_own(agent, &packet->u.snapshot.archive))
		return error_set(err, ERR_DENIED, "the archive is to be another owner's");
	if (agent->root < 0)
		return error_set(err, ERR_UNAVAILABLE, "its volume was lost sight of");
	if (agent->secrets < 0)
		return error_set(
		    err, ERR_UNAVAILABLE, "the secrets of its start were lost sight of");
	if (!agent_is_pipe(fds[0], O_WRONLY))
		return error_set(err, ERR_INVALID, "the archive goes to a pipe's write end alone");
	return secret_files_check(fds[1], &about, err);
}

void agent_snapshot(struct agent *agent, struct warden_packet *packet, const int fds[2])
{
	struct error err = {0};

	if (may_begin(agent, packet, fds, &err) != 0 || begin(agent, packet, fds, &err) != 0)
		refuse(agent, err.text);
}

void agent_give_up_snapshot(struct agent *agent)
{
	if (agent->save)
		kill_packer(agent);
}

void agent_forget_snapshot(struct agent *agent)
{
	if (!agent->save)
		return;
	job_destroy(&agent->save);
	forget_packer(agent);
}
