/* operator - an operator's seat on the bus: the suite's settings, the operator's CURVE key, one call at a time. */
#ifndef SERVICES_CLI_OPERATOR_H
#define SERVICES_CLI_OPERATOR_H

#include "common/service.h"
#include "services/cli/cli.h"

#define READY_SOON_MS 500 /* where more are asked, the dead must not cost more */

struct operator
{
	struct suite_settings settings;
	struct event_base *base;
	struct keyring *keyring;
	struct bus *bus;
	struct bus_client *client; /* of the last call, for the next one to the same address */
	char address[256];
	uint64_t call_ms;  /* how long an answer is waited for; 0: 5 s */
	uint64_t ready_ms; /* how long the connection is; 0: 2 s */
};

/* Reads the suite's settings and keys/curve/operator.key. */
int operator_open(struct operator* operator, const struct cli * cli, struct error *err);
void operator_close(struct operator* operator);
#define scoped_operator __attribute__((cleanup(operator_close)))

/* One call to one address, waited for. rsp_r holds call->rsp->size bytes. */
int operator_call(struct operator* operator, const char * address, enum role role,
    const struct proto_call *call, const void *req, void *rsp_r, struct error *err);

#endif
