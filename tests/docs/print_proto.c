/* Prints proto/README.md from the declarations: every call, who may make it, every field and its limits. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/envelope.h"
#include "proto/registry.h"

static const char *const types[] = {[PROTO_STR] = "text",
    [PROTO_BIN] = "bytes",
    [PROTO_UINT] = "unsigned",
    [PROTO_BOOL] = "yes/no",
    [PROTO_LIST] = "list"};

/* Largest number, without the twenty digits. */
static const char *number(uint64_t n, char buf[24])
{
	if (n == UINT64_MAX)
		return "2^64-1";
	snprintf(buf, 24, "%" PRIu64, n);
	return buf;
}

static void print_limits(const struct proto_field *field)
{
	static const char *const units[] = {[PROTO_STR] = " bytes",
	    [PROTO_BIN] = " bytes",
	    [PROTO_LIST] = " records",
	    [PROTO_UINT] = ""};
	char min[24], max[24];

	if (field->type == PROTO_BOOL)
		return;
	if (field->min == field->max)
		printf("%s%s", number(field->min, min), units[field->type]);
	else
		printf("%s to %s%s", number(field->min, min), number(field->max, max),
		    units[field->type]);
}

static void print_field(const struct proto_field *field, const char *list)
{
	printf("| `%s%s%s` | %s | ", list, *list ? "[]." : "", field->name, types[field->type]);
	print_limits(field);
	printf(" | %s%s | %s |\n", field->flags & PROTO_MAY ? "may" : "must",
	    field->flags & PROTO_SECRET ? ", secret" : "", field->doc);
	for (size_t i = 0; field->item && i < field->item->nfields; i++)
		print_field(&field->item->fields[i], field->name);
}

static void print_message(const char *title, const struct proto_message *message)
{
	if (message->nfields == 0) {
		printf("\n%s: no fields.\n", title);
		return;
	}
	printf("\n%s:\n\n| Field | Type | Limits | Must be there | What |\n|---|---|---|---|---|\n",
	    title);
	for (size_t i = 0; i < message->nfields; i++)
		print_field(&message->fields[i], "");
}

static const char *kind_text(const struct proto_call *call)
{
	return call->kind == PROTO_READ ? "yes" : "no";
}

static void print_matrix(void)
{
	printf("## Who may call what\n\nA peer is who its CURVE key says it is; everybody else is "
	       "refused before the "
	       "request reaches the service.\n\n| Call |");
#define ROLE_HEAD(bit, name, text) printf(" %s |", text);
	ROLES(ROLE_HEAD)
#undef ROLE_HEAD
	printf(" Retried on another replica | What |\n|---|");
#define ROLE_RULE(bit, name, text) printf("---|");
	ROLES(ROLE_RULE)
#undef ROLE_RULE
	printf("---|---|\n");
	for (size_t i = 0; i < proto_ncalls; i++) {
		const struct proto_call *call = proto_calls[i];
		printf("| `%s` |", call->name);
#define ROLE_CELL(bit, name, text) printf(call->callers &ROLE_##name ? " x |" : "  |");
		ROLES(ROLE_CELL)
#undef ROLE_CELL
		printf(" %s | %s |\n", kind_text(call), call->doc);
	}
	printf("\n");
}

static void print_call(const struct proto_call *call)
{
	char callers[200];

	printf("\n## %s\n\n%s Called by: %s.\n", call->name, call->doc,
	    role_text(call->callers, callers, sizeof(callers)));
	print_message("Request", call->req);
	print_message("Reply", call->rsp);
}

int main(void)
{
	printf("# Messages\n\nWritten by `make docs` from the declarations in this folder and in "
	       "`common/`; change those, "
	       "not this.\n\nEach call is declared once, as a list of fields with limits. The "
	       "struct, the encoder, the "
	       "strict decoder, the table of who may call,\nthe tests and this text derive from "
	       "that list. On the wire a "
	       "message is a msgpack map from field name to value; a frame is an envelope\nand a "
	       "body, one map after the "
	       "other, at most %d bytes. Refused: a missing field that must be there, an unknown, "
	       "repeated or\nnon-text "
	       "key, another type, a value out of its limits, text that is not UTF-8 or holds a "
	       "NUL, trailing bytes. A "
	       "field that may be absent\nand is, reads as empty or zero. Secret fields never "
	       "reach a log and are wiped. "
	       "Protocol version: %d.\n\n",
	    BUS_FRAME_MAX, PROTO_VERSION);
	print_matrix();
	printf("## Envelope\n");
	print_message("Request", &envelope_request_message);
	print_message("Reply", &envelope_reply_message);
	printf("\n`status` is one of:");
	for (int code = ERR_NONE; code <= ERR_INTERNAL; code++)
		printf("%s `%s`", code ? "," : "", error_name((enum error_code)code));
	printf(".\n");
	for (size_t i = 0; i < proto_ncalls; i++)
		print_call(proto_calls[i]);
	return fflush(stdout) == 0 ? 0 : 1;
}
