#include "services/warden/warden_settings.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW(name, type, member, min, max, value, doc) \
	{ \
		"MULTICLAW_" name, SETTING_##type, offsetof(struct warden_settings, member), min, \
		    max, value, doc \
	}
const struct setting warden_settings_rows[] = {
    ROW("WARDEN_REPLICA", STR, replica, 1, 64, "sandbox-1",
	"Name of the sandbox of this host, whose other half this is."),
    ROW("WARDEN_LISTEN", PATH, listen, 0, 100, "",
	"Socket on which sandbox finds it; empty: run/<MULTICLAW_WARDEN_REPLICA>.warden."),
    ROW("WARDEN_USER", STR, user, 0, 32, "",
	"User that sandbox runs as: may connect, besides root; empty: root alone."),
    ROW("WARDEN_RUNTIME", PATH, runtime, 1, 256, "runc",
	"OCI runtime: a path, or a name in PATH; runc, crun or runsc."),
    ROW("WARDEN_NETWORK", STR, network, 9, 18, "10.213.0.0/16",
	"Addresses of containers, two for each and two for their resolver; nothing else on this "
	"host or behind it may use them."),
    ROW("WARDEN_PREFIX", STR, prefix, 1, 4, "mc",
	"Begins the names of interfaces, nftables table and cgroups; another one for each suite "
	"on one host."),
    ROW("WARDEN_UID_BASE", UINT, uid_base, 65536, 4294901760, "1073741824",
	"First of the user ids that containers have on the host, 65536 for each slot."),
    ROW("WARDEN_PROXY_USER", LIST, proxy_users, 0, WARDEN_CALLERS_MAX, "www-data",
	"Users (nginx's workers) who may connect to containers, besides root."),
    ROW("WARDEN_IMAGES", PATH, images, 1, 200, "images",
	"Folder that `multiclaw image import` fills."),
    ROW("WARDEN_VOLUMES", PATH, volumes, 1, 200, "volumes", "Folder of agents' encrypted files."),
    ROW("WARDEN_RUN", PATH, run, 0, 150, "",
	"Folder of what warden notes of running containers; empty: run/warden-<prefix>."),
    ROW("WARDEN_PACKER", PATH, packer, 0, 256, "",
	"Program that reads and writes agents' files for a snapshot; empty: multiclaw-packer "
	"beside "
	"this one."),
    ROW("WARDEN_PACKER_STALL_S", UINT, packer_stall_s, 1, 3600, "60",
	"Without progress for so long, a snapshot or the filling of a volume is ended."),
    ROW("WARDEN_SECCOMP", PATH, seccomp, 0, 256, "",
	"Profile (linux.seccomp of the OCI specification) in place of the built-in one."),
    ROW("WARDEN_ORPHAN_S", UINT, orphan_s, 1, 86400, "600",
	"Without a word of sandbox for so long, all agents are stopped."),
    ROW("WARDEN_QUARANTINE_S", UINT, quarantine_s, 0, 86400, "600",
	"How long an agent's addresses and user ids rest before another one gets them."),
    ROW("WARDEN_SLOTS", UINT, slots, 1, 4096, "256", "How many agents there may be at one time."),
    ROW("WARDEN_STOP_ON_EXIT", BOOL, stops_on_exit, 0, 1, "no",
	"Whether the agents end when warden is told to stop; else they run on and the next start "
	"finds them."),
    ROW("LLM_PORT", UINT, llm_port, 0, 65535, "0",
	"Port of this host's llm-gateway, the only one besides DNS that containers reach on the "
	"host, at their resolver's address; with a gateway the same as sandbox's; 0: none."),
    ROW("DENY_CIDRS", LIST, denied_cidrs, 0, 64, "",
	"Networks that no container may reach, besides all that is not public."),
};
const size_t warden_settings_nrows = ARRAY_LEN(warden_settings_rows);

__attribute__((format(printf, 2, 3))) static void fill_in(char **value, const char *fmt, ...)
{
	va_list ap;

	if (**value)
		return;
	free(*value);
	va_start(ap, fmt);
	int len = vasprintf(value, fmt, ap);
	va_end(ap);
	bug_if(len < 0);
}

static int check_network(struct warden_settings *settings, struct error *err)
{
	char address[INET_ADDRSTRLEN] = "", *end = NULL;
	const char *slash = strchr(settings->network, '/');
	size_t len = slash ? (size_t)(slash - settings->network) : 0;

	if (slash && len < sizeof(address))
		memcpy(address, settings->network, len);
	unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : 0;
	if (inet_pton(AF_INET, address, &settings->pool) != 1 || !end || end == slash + 1 || *end)
		return error_set(err, ERR_INVALID, "MULTICLAW_WARDEN_NETWORK is not a network: %s",
		    settings->network);
	if (bits < 8 || bits > 30 || (ntohl(settings->pool.s_addr) & (UINT32_MAX >> bits)))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_WARDEN_NETWORK must be a whole network of 8 to 30 bits: %s",
		    settings->network);
	settings->pool_bits = (unsigned)bits;
	return 0;
}

static int check_names(const struct warden_settings *settings, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	if (strspn(settings->prefix, letters) != strlen(settings->prefix))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_WARDEN_PREFIX must be 1 to 4 of a-z 0-9: %s", settings->prefix);
	if (strspn(settings->replica, "abcdefghijklmnopqrstuvwxyz0123456789-._") !=
	    strlen(settings->replica))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_WARDEN_REPLICA must be of a-z 0-9 - . _: %s", settings->replica);
	return 0;
}

/* A proxy that is not there would make every agent unreachable, and a mistyped one would let somebody in. */
static int find_users(struct warden_settings *settings, struct error *err)
{
	for (size_t i = 0; i < settings->proxy_users.len; i++) {
		const struct passwd *user = getpwnam(settings->proxy_users.item[i]);
		if (!user)
			return error_set(err, ERR_INVALID,
			    "MULTICLAW_WARDEN_PROXY_USER: there is no user %s",
			    settings->proxy_users.item[i]);
		settings->callers[settings->ncallers++] = user->pw_uid;
	}
	if (!settings->user[0])
		return 0;
	const struct passwd *user = getpwnam(settings->user);
	if (!user)
		return error_set(
		    err, ERR_INVALID, "MULTICLAW_WARDEN_USER: there is no user %s", settings->user);
	settings->user_uid = user->pw_uid;
	settings->user_gid = user->pw_gid;
	return 0;
}

static int check_ids(const struct warden_settings *settings, struct error *err)
{
	if ((WARDEN_UID_END - settings->uid_base) / 65536 >= settings->slots)
		return 0;
	return error_set(err, ERR_INVALID,
	    "MULTICLAW_WARDEN_UID_BASE leaves less than 65536 user ids for each of %lu agents "
	    "(MULTICLAW_WARDEN_SLOTS): take a smaller one",
	    (unsigned long)settings->slots);
}

/* Installed together. */
static void find_packer(struct warden_settings *settings)
{
	char self[PATH_MAX] = "";
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *name = len > 0 ? strrchr(self, '/') : NULL;

	fill_in(&settings->packer, "%.*s/multiclaw-packer", name ? (int)(name - self) : 0, self);
}

int warden_settings_finish(struct warden_settings *settings, struct error *err)
{
	find_packer(settings);
	fill_in(&settings->listen, "run/%s.warden", settings->replica);
	fill_in(&settings->run, "run/warden-%s", settings->prefix);
	if (check_names(settings, err) != 0 || check_network(settings, err) != 0 ||
	    check_ids(settings, err) != 0)
		return -1;
	return find_users(settings, err);
}
