#include "services/warden/bundle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHM_BYTES_MAX (64u << 20)
#define CPU_PERIOD_US 100000

/* Our own tables, or memory: a failure is ours. */
static json_t *sure(json_t *value)
{
	bug_if(!value);
	return value;
}

static json_t *words(const char *const *word, size_t n)
{
	json_t *list = sure(json_array());

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, sure(json_string(word[i])));
	return list;
}

/* ---- process ---- */

__attribute__((format(printf, 2, 3))) static void add_text(json_t *list, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(list, sure(json_string(text)));
}

/* What we say of these counts, whatever the image says. */
static bool is_ours(const char *variable)
{
	static const char *const names[] = {"MULTICLAW_", "OPENCLAW_", "HOME=", "HOSTNAME="};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

json_t *bundle_environment(const struct bundle *bundle)
{
	json_t *list = sure(json_array()), *variable;
	bool has_path = false;
	size_t i;

	json_array_foreach(bundle->image->env, i, variable)
	{
		const char *text = json_string_value(variable);
		has_path |= strncmp(text, "PATH=", 5) == 0;
		if (!is_ours(text))
			json_array_append(list, variable);
	}
	if (!has_path)
		add_text(list, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add_text(list, "HOME=/data");
	add_text(list, "HOSTNAME=%s", bundle->agent);
	add_text(list, "MULTICLAW_AGENT_PORT=%u", bundle->port);
	add_text(list, "MULTICLAW_SECRETS=/run/secrets");
	if (strcmp(bundle->kind, "openclaw") != 0)
		return list;
	add_text(list, "OPENCLAW_CONFIG_PATH=/run/secrets/openclaw.json");
	add_text(list, "OPENCLAW_STATE_DIR=/data/.openclaw");
	add_text(list, "OPENCLAW_GATEWAY_PORT=%u", bundle->port);
	add_text(list, "OPENCLAW_NO_AUTO_UPDATE=1");
	add_text(list, "OPENCLAW_DISABLE_BONJOUR=1");
	return list;
}

static json_t *arguments(const struct bundle *bundle)
{
	static const char *const init[] = {"/dev/init", "--"};
	json_t *list = words(init, ARRAY_LEN(init));

	json_array_extend(list, bundle->image->args);
	return list;
}

static json_t *process(const struct bundle *bundle)
{
	const struct image *image = bundle->image;

	return sure(json_pack("{s:b, s:{s:i, s:i}, s:o, s:o, s:s,"
			      " s:{s:[], s:[], s:[], s:[], s:[]}, s:b, s:i,"
			      " s:[{s:s, s:I, s:I}, {s:s, s:i, s:i}]}",
	    "terminal", 0, "user", "uid", (int)image->uid, "gid", (int)image->gid, "args",
	    arguments(bundle), "env", bundle_environment(bundle), "cwd", image->cwd, "capabilities",
	    "bounding", "effective", "permitted", "inheritable", "ambient", "noNewPrivileges", 1,
	    "oomScoreAdj", 500, "rlimits", "type", "RLIMIT_NOFILE", "hard",
	    (json_int_t)bundle->files, "soft", (json_int_t)bundle->files, "type", "RLIMIT_CORE",
	    "hard", 0, "soft", 0));
}

/* ---- mounts ---- */

static void add_mount(
    json_t *list, const char *to, const char *type, const char *from, const char *options)
{
	json_t *split = sure(json_array());

	for (const char *at = options; *at;) {
		size_t len = strcspn(at, ",");
		json_array_append_new(split, sure(json_stringn(at, len)));
		at += len + (at[len] == ',');
	}
	json_array_append_new(list, sure(json_pack("{s:s, s:s, s:s, s:o}", "destination", to,
					"type", type, "source", from, "options", split)));
}

static void add_bind(
    const struct bundle *bundle, json_t *list, const char *to, const char *name, const char *how)
{
	char from[160], options[64];

	snprintf(from, sizeof(from), "%s/%s", bundle->work, name);
	snprintf(options, sizeof(options), "bind,nosuid,nodev,%s", how);
	add_mount(list, to, "bind", from, options);
}

static json_t *mounts(const struct bundle *bundle)
{
	json_t *list = sure(json_array());
	uint64_t shm = bundle->limits.memory_bytes / 8;
	char options[96];

	add_mount(list, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(
	    list, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=64k,nr_inodes=64");
	add_mount(list, "/dev/pts", "devpts", "devpts",
	    "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
	snprintf(options, sizeof(options), "nosuid,noexec,nodev,mode=1777,size=%" PRIu64,
	    shm < SHM_BYTES_MAX ? shm : SHM_BYTES_MAX);
	add_mount(list, "/dev/shm", "tmpfs", "shm", options);
	add_mount(list, "/dev/init", "bind", "/usr/bin/catatonit", "bind,ro,nosuid,nodev");
	/* sysfs cannot be mounted over a network namespace that is not the container's own; programs look for their limits below it */
	add_mount(list, "/sys", "tmpfs", "tmpfs", "nosuid,noexec,nodev,ro,nr_inodes=16");
	add_mount(list, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro");
	snprintf(options, sizeof(options),
	    "nosuid,nodev,mode=1777,size=%" PRIu64 ",nr_inodes=65536", bundle->limits.tmp_bytes);
	add_mount(list, "/tmp", "tmpfs", "tmpfs", options);
	add_bind(bundle, list, "/data", "data", "rw");
	add_bind(bundle, list, "/run/secrets", "secrets", "ro,noexec");
	if (bundle->image->has_resolv_conf)
		add_bind(bundle, list, "/etc/resolv.conf", "resolv.conf", "ro,noexec");
	if (bundle->image->has_hosts)
		add_bind(bundle, list, "/etc/hosts", "hosts", "ro,noexec");
	if (bundle->image->has_hostname)
		add_bind(bundle, list, "/etc/hostname", "hostname", "ro,noexec");
	return list;
}

/* ---- limits ---- */

static json_t *throttle(const struct bundle *bundle)
{
	return sure(json_pack("[{s:I, s:I, s:I}]", "major", (json_int_t)bundle->volume_major,
	    "minor", (json_int_t)bundle->volume_minor, "rate",
	    (json_int_t)bundle->limits.io_bytes_per_s));
}

static json_t *resources(const struct bundle *bundle)
{
	const struct warden_limits *limits = &bundle->limits;
	json_int_t memory = (json_int_t)limits->memory_bytes;
	json_t *all = sure(json_pack("{s:[{s:b, s:s}], s:{s:I}, s:{s:I}, s:{s:I, s:I}}", "devices",
	    "allow", 0, "access", "rwm", "memory", "limit", memory, "pids", "limit",
	    (json_int_t)limits->pids, "cpu", "quota",
	    (json_int_t)(limits->cpu_percent * CPU_PERIOD_US / 100), "period",
	    (json_int_t)CPU_PERIOD_US));

	/* of memory and swap together: no swap */
	if (bundle->has_swap_limit)
		json_object_set_new(json_object_get(all, "memory"), "swap", json_integer(memory));
	if (limits->io_bytes_per_s)
		json_object_set_new(all, "blockIO",
		    sure(json_pack("{s:o, s:o}", "throttleReadBpsDevice", throttle(bundle),
			"throttleWriteBpsDevice", throttle(bundle))));
	return all;
}

static json_t *id_map(const struct bundle *bundle)
{
	return sure(json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID",
	    (json_int_t)bundle->uid_base, "size", 65536));
}

static json_t *namespaces(const struct bundle *bundle)
{
	return sure(json_pack("[{s:s}, {s:s}, {s:s}, {s:s}, {s:s}, {s:s}, {s:s, s:s}]", "type",
	    "user", "type", "pid", "type", "mount", "type", "ipc", "type", "uts", "type", "cgroup",
	    "type", "network", "path", bundle->netns));
}

static json_t *linux_part(const struct bundle *bundle)
{
	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/interrupts",
	    "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kmsg",
	    "/proc/latency_stats", "/proc/modules", "/proc/pressure", "/proc/sched_debug",
	    "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"};
	static const char *const readonly[] = {
	    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	json_t *all = sure(json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "namespaces",
	    namespaces(bundle), "uidMappings", id_map(bundle), "gidMappings", id_map(bundle),
	    "cgroupsPath", bundle->cgroup, "resources", resources(bundle), "maskedPaths",
	    words(masked, ARRAY_LEN(masked)), "readonlyPaths",
	    words(readonly, ARRAY_LEN(readonly))));

	json_object_set_new(all, "seccomp", json_deep_copy(bundle->seccomp));
	return all;
}

json_t *bundle_config(const struct bundle *bundle)
{
	char rootfs[160];

	snprintf(rootfs, sizeof(rootfs), "%s/rootfs", bundle->work);
	return sure(json_pack("{s:s, s:s, s:{s:s, s:b}, s:o, s:o, s:o}", "ociVersion", "1.0.2",
	    "hostname", bundle->agent, "root", "path", rootfs, "readonly", 1, "process",
	    process(bundle), "mounts", mounts(bundle), "linux", linux_part(bundle)));
}
