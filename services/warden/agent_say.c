#include <fcntl.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "services/warden/agent_internal.h"
#include "services/warden/packet.h"
#include "services/warden/warden.h"

void agent_packet(const struct agent *agent, struct warden_packet *packet, uint32_t what)
{
	*packet = (struct warden_packet){.what = what};
	packet_put(packet->agent, sizeof(packet->agent), agent->record.agent);
	packet_put(packet->boot, sizeof(packet->boot), agent->record.boot);
}

static struct in_addr address_of(const struct agent *agent)
{
	struct network_link link = {0};

	if (agent->record.slot < network_slots(agent->warden->host.network))
		network_link_of(agent->warden->host.network, agent->record.slot, &link);
	return link.container;
}

/* The read end alone, and without waiting: what it has of the FIFO ends with its descriptor, not with the container's. */
static int open_log(const struct agent *agent)
{
	char path[64];

	if (agent->log < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", agent->log);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

void agent_say_text(struct agent *agent, uint32_t what, const char *text)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, what);
	packet_put(packet.u.text, sizeof(packet.u.text), text);
	peer_send(agent->warden->peer, &packet, -1);
}

void agent_say_found(struct agent *agent)
{
	struct warden_packet packet;
	scoped_fd int log = agent->state == AGENT_RUNNING ? open_log(agent) : -1;

	agent_packet(agent, &packet, WARDEN_FOUND);
	packet.u.found.address = address_of(agent);
	packet.u.found.port = WARDEN_AGENT_PORT;
	packet.u.found.is_ending = agent->state != AGENT_RUNNING;
	packet.u.found.started_ms = agent->record.started_ms;
	packet.u.found.period = agent->record.period;
	packet_put(packet.u.found.image, sizeof(packet.u.found.image), agent->record.image);
	packet_put(packet.u.found.wallet, sizeof(packet.u.found.wallet), agent->record.wallet);
	peer_send(agent->warden->peer, &packet, log);
}

/* The slot is its own from here on: what asks from its address is this agent. */
void agent_say_starting(struct agent *agent)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_STARTING);
	packet.u.starting.address = address_of(agent);
	peer_send(agent->warden->peer, &packet, -1);
}

void agent_say_started(struct agent *agent)
{
	struct warden_packet packet;
	scoped_fd int log = open_log(agent);

	agent_packet(agent, &packet, WARDEN_STARTED);
	packet.u.started.address = address_of(agent);
	packet.u.started.port = WARDEN_AGENT_PORT;
	packet.u.started.ms = (clock_boot_us() - agent->began_us) / 1000;
	peer_send(agent->warden->peer, &packet, log);
	log_info("agent started", "agent", agent->record.agent, "slot", log_u64(agent->record.slot),
	    "ms", log_u64(packet.u.started.ms));
}

void agent_say_saving(const struct agent *agent, uint64_t bytes, uint64_t total_bytes)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_SAVING);
	packet.u.saving.bytes = bytes;
	packet.u.saving.total_bytes = total_bytes;
	peer_send(agent->warden->peer, &packet, -1);
}

void agent_say_failed(const struct agent *agent)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_FAILED);
	packet_put(packet.u.failed.text, sizeof(packet.u.failed.text), agent->why);
	packet.u.failed.failure = agent->failure;
	peer_send(agent->warden->peer, &packet, -1);
}

void agent_say_ended(struct agent *agent, bool was_oom, bool is_held)
{
	struct warden_packet packet;

	agent_packet(agent, &packet, WARDEN_ENDED);
	packet.u.ended.was_asked = agent->was_asked;
	packet.u.ended.status = agent->status;
	packet.u.ended.was_oom = was_oom;
	packet.u.ended.is_held = is_held;
	packet.u.ended.us = clock_boot_us() - agent->ending_us;
	log_info("agent ended", "agent", agent->record.agent, "asked",
	    agent->was_asked ? "yes" : "no", "oom", was_oom ? "yes" : "no", "held",
	    is_held ? "yes" : "no", "us", log_u64(packet.u.ended.us));
	/* of a START that was not done, FAILED is the only word */
	if (!agent->why[0])
		peer_send(agent->warden->peer, &packet, -1);
}
