/* gateway.admit, gateway.leave - what the sandbox of this host says. */
#include <string.h>

#include "services/llm-gateway/gateway.h"

/* The list of peers has no names: a key is this host's if a setting says so, or if there is no other sandbox. */
static const char *own_sandbox(const struct gateway *gateway)
{
	const struct keyring *keyring = gateway->process->keyring;

	if (strlen(gateway->sandbox) == Z85_KEY_LEN)
		return gateway->sandbox;
	const char *first = keyring_server_key_at(keyring, ROLE_SANDBOX, 0);
	const char *second = keyring_server_key_at(keyring, ROLE_SANDBOX, 1);
	return first && second && strcmp(first, second) == 0 ? first : NULL;
}

static bool is_of_this_host(struct gateway *gateway, struct bus_request *request)
{
	const char *own = own_sandbox(gateway);
	struct error err;

	if (own && strcmp(own, bus_request_peer(request)) == 0)
		return true;
	error_refuse(&err, ERR_DENIED, "not_this_host",
	    own ? "another host's sandbox"
		: "several sandboxes are listed: MULTICLAW_GATEWAY_SANDBOX has to say which is "
		  "this host's");
	bus_fail(request, &err);
	return false;
}

void gateway_admit(
    struct gateway *self, const struct gateway_admit_req *req, struct bus_request *request)
{
	const struct gateway_admit_rsp rsp = {.port = self->port};
	struct error err;

	if (!is_of_this_host(self, request))
		return;
	if (agents_admit(self->agents, req, &err) != 0)
		bus_fail(request, &err);
	else
		bus_reply(request, &rsp);
}

void gateway_leave(
    struct gateway *self, const struct gateway_leave_req *req, struct bus_request *request)
{
	struct gateway_leave_rsp rsp;

	if (!is_of_this_host(self, request))
		return;
	rsp.was_there = agents_leave(self->agents, req->agent, req->boot_id);
	bus_reply(request, &rsp);
}
