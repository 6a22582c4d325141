/* warden_settings - what warden is told, beside what every program of the suite is told. */
#ifndef WARDEN_WARDEN_SETTINGS_H
#define WARDEN_WARDEN_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/service.h"

#define WARDEN_CALLERS_MAX 8
#define WARDEN_AGENT_PORT 18789 /* OpenClaw's own */

#define WARDEN_UID_END UINT64_C(4294901760) /* the range beyond it holds -1, which is no user */

struct warden_settings {
	char *replica;     /* MULTICLAW_WARDEN_REPLICA: of the sandbox that it serves */
	char *listen;      /* MULTICLAW_WARDEN_LISTEN */
	char *user;        /* MULTICLAW_WARDEN_USER */
	char *runtime;     /* MULTICLAW_WARDEN_RUNTIME */
	char *network;     /* MULTICLAW_WARDEN_NETWORK */
	char *prefix;      /* MULTICLAW_WARDEN_PREFIX */
	uint64_t uid_base; /* MULTICLAW_WARDEN_UID_BASE */
	struct setting_list proxy_users;  /* MULTICLAW_WARDEN_PROXY_USER */
	char *images, *volumes, *run;     /* MULTICLAW_WARDEN_IMAGES, _VOLUMES, _RUN */
	char *seccomp;                    /* MULTICLAW_WARDEN_SECCOMP */
	char *packer;                     /* MULTICLAW_WARDEN_PACKER */
	uint64_t packer_stall_s;          /* MULTICLAW_WARDEN_PACKER_STALL_S */
	uint64_t orphan_s, quarantine_s;  /* MULTICLAW_WARDEN_ORPHAN_S, _QUARANTINE_S */
	uint64_t slots;                   /* MULTICLAW_WARDEN_SLOTS */
	bool stops_on_exit;               /* MULTICLAW_WARDEN_STOP_ON_EXIT */
	uint64_t llm_port;                /* MULTICLAW_LLM_PORT */
	struct setting_list denied_cidrs; /* MULTICLAW_DENY_CIDRS */

	/* made of them */
	struct in_addr pool;
	unsigned pool_bits;
	uid_t callers[WARDEN_CALLERS_MAX];
	size_t ncallers;
	uid_t user_uid; /* 0: root alone */
	gid_t user_gid;
};
extern const struct setting warden_settings_rows[];
extern const size_t warden_settings_nrows;

/* Fills in what defaults to something else, and checks what the table cannot: the network, the prefix, names of users. */
int warden_settings_finish(struct warden_settings *settings, struct error *err);

#endif
