/* bundle - a container as the OCI runtime is told of it: config.json (OCI runtime specification 1.0). */
#ifndef WARDEN_BUNDLE_H
#define WARDEN_BUNDLE_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "proto/warden.h"
#include "services/warden/image.h"

struct bundle {
	const char *agent, *kind;
	const struct image *image;
	const char *work;   /* folder with rootfs, data, secrets, resolv.conf, hosts, hostname */
	const char *cgroup; /* "/multiclaw-mc/<agent>" */
	const char *netns;  /* path */
	uid_t uid_base;
	uint16_t port;
	struct warden_limits limits;
	uint64_t files; /* open ones, at one time */
	unsigned volume_major, volume_minor;
	bool has_swap_limit;
	const json_t *seccomp;
};

/* Caller owns the result. */
json_t *bundle_config(const struct bundle *bundle);
/* What its processes find in their environment: "NAME=value". Caller owns. */
json_t *bundle_environment(const struct bundle *bundle);

/* The built-in seccomp profile, or the file's at path if that is not "". NULL with *err. Caller owns. */
json_t *bundle_seccomp(const char *path, struct error *err);

#endif
