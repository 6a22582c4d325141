#include "services/router/vaults.h"

#include <string.h>

#include "common/codec.h"

void vaults_ask(
    struct api_call *call, const struct proto_call *what, void *req, uint64_t ms, bus_done done)
{
	struct bus_client *vaults = call->router->vaults;
	bug_if(strcmp(what->req->fields[0].name, "token") != 0 || what->req->fields[0].offset != 0);
	memcpy(req, call->token, sizeof(call->token));
	if (vaults)
		bus_send(vaults, what, req, clock_unix_ms() + ms, http_request_id(call->request),
		    done, call);
	else
		api_refuse_named(call, "service_unavailable");
	codec_wipe(what->req, req);
}
