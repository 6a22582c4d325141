#include "services/warden/erase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "services/warden/job.h"
#include "services/warden/packet.h"
#include "services/warden/volume.h"
#include "services/warden/warden.h"

#define AT_ONCE_MAX 8 /* each is a process of root's that deletes */

struct erase {
	struct warden *warden;
	char agent[32 + 1], boot[32 + 1], wallet[44 + 1];
	uint64_t period;
	char why[160];
};

static int work(void *arg, int report_fd)
{
	const struct erase *erase = arg;
	struct volume_name name = {
	    erase->warden->settings->volumes, erase->agent, erase->wallet, erase->period};
	struct job_report report = {0};
	struct error err = {0};

	if (volume_erase(&name, &err) == 0)
		return 0;
	snprintf(report.text, sizeof(report.text), "%.*s", JOB_TEXT_MAX, err.text);
	job_tell(report_fd, &report, NULL, 0);
	return 1;
}

static void close_others(void *arg)
{
	const struct erase *erase = arg;

	agents_close_fds(erase->warden, NULL);
}

static void on_report(void *arg, const struct job_report *report, const int *fds, size_t nfds)
{
	struct erase *erase = arg;

	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	packet_put(erase->why, sizeof(erase->why), report->text);
}

static void on_end(void *arg, int status)
{
	struct erase *erase = arg;
	struct warden_packet packet = {.what = WARDEN_ERASED};

	if (status != 0 && !erase->why[0])
		packet_put(erase->why, sizeof(erase->why), "it was interrupted");
	log_audit("a volume is erased", "agent", erase->agent, "wallet", erase->wallet, "why_not",
	    erase->why);
	packet_put(packet.agent, sizeof(packet.agent), erase->agent);
	packet_put(packet.boot, sizeof(packet.boot), erase->boot);
	packet_put(packet.u.text, sizeof(packet.u.text), erase->why);
	peer_send(erase->warden->peer, &packet, -1);
	erase->warden->nerases--;
	free(erase);
}

void erase_volume(struct warden *warden, const struct warden_packet *packet)
{
	struct erase *erase = calloc(1, sizeof(*erase));
	struct job_hooks hooks = {close_others, on_report, on_end, erase};

	bug_if(!erase);
	erase->warden = warden;
	erase->period = packet->u.erase.period;
	packet_put(erase->agent, sizeof(erase->agent), packet->agent);
	packet_put(erase->boot, sizeof(erase->boot), packet->boot);
	packet_put(erase->wallet, sizeof(erase->wallet), packet->u.erase.wallet);
	if (++warden->nerases > AT_ONCE_MAX)
		packet_put(erase->why, sizeof(erase->why), "busy: ask again later");
	if (erase->why[0] || !job_start(warden->reaper, warden->jobs_cgroup, &hooks, work, erase))
		on_end(erase, -1);
}
