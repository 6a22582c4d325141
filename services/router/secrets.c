#include "services/router/secrets.h"

#include <string.h>

#include "common/codec.h"
#include "services/router/vaults.h"

/* "" where there is none: a short value has no preview. */
static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static void on_list(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct vault_list_rsp *found = rsp;
	if (err) {
		api_refuse(call, err);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < found->secrets.len; i++) {
		const struct secrets_item *s = &found->secrets.item[i];
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:o, s:o, s:I, s:o}", "kind", s->kind, "name", s->name,
			"preview", text_or_null(s->preview), "delivery", text_or_null(s->delivery),
			"version", (json_int_t)s->version, "updated_at", api_time(s->updated_ms)));
	}
	api_reply(call, 200, json_pack("{s:o}", "secrets", list));
}

void secrets_list(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	vaults_ask(call, &vault_list_call, &(struct vault_list_req){0}, VAULTS_MS, on_list);
}

/* The vault knows the rule; here only what its request has room for is let through. */
static int read_name(const struct api_call *call, char *kind, size_t kind_size, char *name,
    size_t name_size, struct error *err)
{
	const char *given_kind = call->arguments.text[0], *given_name = call->arguments.text[1];
	if (strlen(given_kind) >= kind_size || strlen(given_name) >= name_size)
		return error_refuse(err, ERR_INVALID, "secret_name_invalid",
		    "the kind is llm, bot or custom, the name 1 to 64 of a-z 0-9 _ -");
	snprintf(kind, kind_size, "%s", given_kind);
	snprintf(name, name_size, "%s", given_name);
	return 0;
}

static void on_put(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	(void)rsp;
	if (err)
		api_refuse(call, err);
	else
		api_reply_empty(call, 204);
}

static int read_put(struct api_call *call, struct vault_put_req *req, struct error *err)
{
	char *value = (char *)req->value.data;
	const struct api_field fields[] = {{"value", value, sizeof(req->value.data), false},
	    {"delivery", req->delivery, sizeof(req->delivery), true}};
	if (api_fields(call, fields, ARRAY_LEN(fields), err) != 0)
		return -1;
	req->value.len = strlen(value);
	return read_name(call, req->kind, sizeof(req->kind), req->name, sizeof(req->name), err);
}

/* The request is too large for the stack; it is wiped as soon as it was encoded. */
void secrets_put(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct error err;
	struct vault_put_req *req = calloc(1, sizeof(*req));
	bug_if(!req);
	int rc = read_put(call, req, &err);
	api_forget_body(call);
	if (rc == 0) {
		vaults_ask(call, &vault_put_call, req, VAULTS_MS, on_put);
	} else {
		codec_wipe(&vault_put_req_message, req);
		api_refuse(call, &err);
	}
	free(req);
}

static void on_delete(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct vault_delete_rsp *deleted = rsp;
	if (err)
		api_refuse(call, err);
	else if (!deleted->existed)
		api_refuse_named(call, "not_found");
	else
		api_reply_empty(call, 204);
}

void secrets_delete(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct vault_delete_req req = {0};
	struct error err;
	if (read_name(call, req.kind, sizeof(req.kind), req.name, sizeof(req.name), &err) != 0)
		api_refuse(call, &err);
	else
		vaults_ask(call, &vault_delete_call, &req, VAULTS_MS, on_delete);
}

static void on_keys(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct vault_resolve_rsp *found = rsp;
	if (err) {
		api_refuse(call, err);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < found->providers.len; i++) {
		const struct providers_item *p = &found->providers.item[i];
		bool is_own = strcmp(p->source, "user") == 0;
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o, s:o}", "provider", p->provider, "source",
			      p->source, "preview", is_own ? text_or_null(p->preview) : json_null(),
			      "delivery", text_or_null(p->delivery)));
	}
	api_reply(call, 200, json_pack("{s:o}", "providers", list));
}

void secrets_keys(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	vaults_ask(call, &vault_resolve_call, &(struct vault_resolve_req){0}, VAULTS_MS, on_keys);
}
