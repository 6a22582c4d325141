/* schema - messages declared once, as X-macro field lists (see proto/). From one list derive: the C struct, the descriptor that
 * the encoder and the strict decoder walk, the table of who may call, proto/README.md, and the tests.
 *
 *	#define auth_verify_REQ(F, M) \
 *		F(M, STR, wallet, 32, 44, MUST, "base58 public key of the caller") \
 *		F(M, BIN, signature, 64, 64, MUST, "ed25519")
 *	#define AUTH_CALLS(C) C(auth, verify, ROLE_ROUTER, ONCE, "Check a signed text and open a session.")
 *	AUTH_CALLS(PROTO_DECLARE)      in proto/<service>.h
 *	AUTH_CALLS(PROTO_DEFINE)       in proto/registry.c, once
 *
 * Field columns: type; name; minimum and maximum (bytes for STR and BIN, value for UINT, count for LIST, 0..1 for BOOL); flags; doc.
 * A MAY field that is absent reads as empty or zero, and an empty or zero MAY field is not sent. SECRET fields never reach a log
 * and are wiped with their struct. A LIST field named x holds up to max records of the message x_item, declared with PROTO_ITEM.
 * Call columns: service; name; roles that may call (ROLE_ROUTER | ROLE_AUTH); READ (may be retried on another replica) or ONCE; doc.
 */
#ifndef COMMON_SCHEMA_H
#define COMMON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/role.h"

#define PROTO_VERSION 1

enum proto_type { PROTO_STR, PROTO_BIN, PROTO_UINT, PROTO_BOOL, PROTO_LIST };
enum proto_flag {
	PROTO_MUST = 1,
	PROTO_MAY = 2,
	PROTO_SECRET = 4 /* implies MUST */,
	PROTO_MAY_SECRET = 6
};
enum proto_kind { PROTO_READ, PROTO_ONCE };

struct proto_message;
struct proto_field {
	const char *name;
	enum proto_type type;
	uint64_t min, max;
	unsigned flags;
	size_t offset;
	const struct proto_message *item; /* LIST only */
	const char *doc;
};
struct proto_message {
	const char *name; /* "auth.verify request" */
	size_t size;      /* of the struct */
	const struct proto_field *fields;
	size_t nfields; /* at most 64 */
};
struct proto_call {
	const char *name; /* "auth.verify", as on the wire */
	unsigned callers; /* set of roles */
	enum proto_kind kind;
	const struct proto_message *req, *rsp;
	const char *doc;
};

/* In memory: STR is char[max+1], NUL-terminated; BIN is {len, data[max]}; LIST is {len, item[max]}. */
#define PROTO_MEMBER(M, type, name, min, max, flags, doc) PROTO_MEMBER_##type(name, max)
#define PROTO_MEMBER_STR(name, max) char name[(max) + 1];
#define PROTO_MEMBER_BIN(name, max) \
	struct { \
		size_t len; \
		uint8_t data[max]; \
	} name;
#define PROTO_MEMBER_UINT(name, max) uint64_t name;
#define PROTO_MEMBER_BOOL(name, max) bool name;
#define PROTO_MEMBER_LIST(name, max) \
	struct { \
		size_t len; \
		struct name##_item item[max]; \
	} name;
#define PROTO_BODY_OF_STR(name) NULL
#define PROTO_BODY_OF_BIN(name) NULL
#define PROTO_BODY_OF_UINT(name) NULL
#define PROTO_BODY_OF_BOOL(name) NULL
#define PROTO_BODY_OF_LIST(name) &name##_item_message
#define PROTO_ROW(M, type, name, min, max, flags, doc) \
	{#name, PROTO_##type, min, max, PROTO_##flags, offsetof(struct M, name), \
	    PROTO_BODY_OF_##type(name), doc},

#define PROTO_DECLARE_MESSAGE(M, FIELDS) \
	struct M { \
		FIELDS(PROTO_MEMBER, M) \
	}; \
	extern const struct proto_message M##_message;
#define PROTO_DEFINE_MESSAGE(M, text, FIELDS) \
	static const struct proto_field M##_fields[] = {FIELDS(PROTO_ROW, M)}; \
	const struct proto_message M##_message = { \
	    text, sizeof(struct M), M##_fields, sizeof(M##_fields) / sizeof(struct proto_field)};

/* A record of a list: PROTO_ITEM(sessions) declares struct sessions_item from sessions_ITEM(F, M). */
#define PROTO_ITEM(name) PROTO_DECLARE_MESSAGE(name##_item, name##_ITEM)
#define PROTO_ITEM_DEFINE(name) PROTO_DEFINE_MESSAGE(name##_item, #name " item", name##_ITEM)

#define PROTO_DECLARE(svc, name, callers, kind, doc) \
	PROTO_DECLARE_MESSAGE(svc##_##name##_req, svc##_##name##_REQ) \
	PROTO_DECLARE_MESSAGE(svc##_##name##_rsp, svc##_##name##_RSP) \
	extern const struct proto_call svc##_##name##_call;
/* roles are written as ROLE_ROUTER | ROLE_AUTH in the callers column */
#define PROTO_DEFINE(svc, cname, roles, ckind, cdoc) \
	PROTO_DEFINE_MESSAGE(svc##_##cname##_req, #svc "." #cname " request", svc##_##cname##_REQ) \
	PROTO_DEFINE_MESSAGE(svc##_##cname##_rsp, #svc "." #cname " reply", svc##_##cname##_RSP) \
	const struct proto_call svc##_##cname##_call = {.name = #svc "." #cname, \
	    .callers = (roles), \
	    .kind = PROTO_##ckind, \
	    .req = &svc##_##cname##_req_message, \
	    .rsp = &svc##_##cname##_rsp_message, \
	    .doc = cdoc};

/* A message without fields. */
#define PROTO_EMPTY(F, M)

/* In services/<svc>/<svc>.h: SVC_CALLS(PROTO_HANDLER) declares  void svc_name(struct svc *, const struct svc_name_req *, struct
 * bus_request *)  ; in main.c SVC_CALLS(PROTO_THUNK), then  { SVC_CALLS(PROTO_ROUTE) }  is the table of struct bus_route. A forgotten
 * handler is a link error, a handler of the wrong type a compile error. */
#define PROTO_HANDLER(svc, name, callers, kind, doc) \
	void svc##_##name( \
	    struct svc *self, const struct svc##_##name##_req *req, struct bus_request *request);
#define PROTO_THUNK(svc, name, callers, kind, doc) \
	static void svc##_##name##_thunk(void *self, const void *req, struct bus_request *request) \
	{ \
		svc##_##name(self, req, request); \
	}
#define PROTO_ROUTE(svc, name, callers, kind, doc) {&svc##_##name##_call, svc##_##name##_thunk},

#endif
