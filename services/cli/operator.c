#include "services/cli/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define CALL_TIMEOUT_MS 5000
#define READY_TIMEOUT_MS 2000 /* far away or busy: a handshake is some round trips */

static struct settings_table table_of(struct operator* operator)
{
	return (struct settings_table){
	    &operator->settings, suite_settings_rows, suite_settings_nrows};
}

static const char *default_conf(char *buf, size_t size)
{
	const char *state = getenv("MULTICLAW_STATE_DIR");

	snprintf(buf, size, "%s/conf/suite.conf", state ? state : ".state");
	return access(buf, R_OK) == 0 ? buf : "/etc/multiclaw/suite.conf";
}

int operator_open(struct operator* operator, const struct cli * cli, struct error *err)
{
	char buf[512];
	const char *fallback[] = {default_conf(buf, sizeof(buf))};
	struct settings_table table = table_of(operator);

	if (!cli->nconf && access(fallback[0], R_OK) < 0)
		return error_set(err, ERR_INVALID,
		    "no settings: neither %s nor -c FILE can be read", fallback[0]);
	if (settings_load(
		&table, 1, cli->nconf ? cli->conf : fallback, cli->nconf ? cli->nconf : 1, err) < 0)
		return -1;
	/* sockets and keys are named relative to it */
	if (chdir(operator->settings.state_dir) < 0)
		return error_set(err, ERR_INVALID, "cannot enter %s", operator->settings.state_dir);
	operator->base = event_base_new();
	operator->keyring = keyring_open(operator->settings.keys, "operator", err);
	if (operator->keyring)
		operator->bus = bus_new(operator->base, operator->keyring, NULL, err);
	return operator->bus ? 0 : - 1;
}

void operator_close(struct operator* operator)
{
	struct settings_table table = table_of(operator);

	bus_client_destroy(&operator->client);
	bus_destroy(&operator->bus);
	keyring_destroy(&operator->keyring);
	if (operator->base)
		event_base_free(operator->base);
	settings_free(&table, 1);
}

struct waiting {
	struct event_base *base;
	void *rsp;
	size_t size;
	struct error *err;
	int rc;
};

static void done(void *arg, const void *rsp, const struct error *err)
{
	struct waiting *waiting = arg;

	if (rsp)
		memcpy(waiting->rsp, rsp, waiting->size);
	else
		*waiting->err = *err;
	waiting->rc = rsp ? 0 : -1;
	event_base_loopbreak(waiting->base);
}

static uint64_t ready_ms(const struct operator* operator)
{
	return operator->ready_ms ? operator->ready_ms : READY_TIMEOUT_MS;
}

static struct bus_client *client_of(struct operator* operator, const char * address, enum role role,
    const struct proto_call *call, struct error *err)
{
	if (operator->client && strcmp(operator->address, address) == 0)
		return operator->client;
	if (operator->client)
		bus_client_destroy(&operator->client);
	snprintf(operator->address, sizeof(operator->address), "%s", address);
	operator->client = bus_client_new(operator->bus, call->name, role, &address, 1, err);
	if (operator->client)
		bus_client_wait_ready(operator->client, ready_ms(operator));
	return operator->client;
}

int operator_call(struct operator* operator, const char * address, enum role role,
    const struct proto_call *call, const void *req, void *rsp_r, struct error *err)
{
	struct bus_client *client = client_of(operator, address, role, call, err);
	struct waiting waiting = {operator->base, rsp_r, call->rsp->size, err, 1};
	uint64_t wait_ms =
	    ready_ms(operator) + (operator->call_ms ? operator->call_ms : CALL_TIMEOUT_MS);

	if (!client)
		return -1;
	bus_send(client, call, req, clock_unix_ms() + wait_ms, "", done, &waiting);
	while (waiting.rc > 0)
		event_base_loop(operator->base, EVLOOP_ONCE);
	/* one that failed may be stuck */
	if (waiting.rc < 0)
		bus_client_destroy(&operator->client);
	return waiting.rc;
}
