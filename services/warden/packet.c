#include "services/warden/packet.h"

#include <limits.h>
#include <string.h>

#include "common/cidr.h"

#define HEX "0123456789abcdef"
#define BASE32 "abcdefghijklmnopqrstuvwxyz234567"
#define BASE58 "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
#define KIND "abcdefghijklmnopqrstuvwxyz0123456789-"
#define MEMORY_MIN (16u << 20)
#define MEMORY_MAX (1ull << 42)
#define GRACE_MS_MAX 60000
#define HOLD_MS_MAX 21600000 /* a large volume, a slow store */
#define LEVEL_MAX 19
#define READY_MS_MAX 300000
#define EXEC_MS_MAX 300000
#define ALLOW_S_MAX 86400
#define RANGE_BITS_MIN 8

bool packet_is_text(const char *text, size_t size, size_t min, const char *letters)
{
	size_t len = strnlen(text, size);

	if (len == size || len < min || strspn(text, letters) != len)
		return false;
	for (size_t i = len; i < size; i++)
		if (text[i])
			return false;
	return true;
}

void packet_put(char *to, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memset(to, 0, size);
	memcpy(to, text, len);
}

static uint64_t between(uint64_t n, uint64_t min, uint64_t max)
{
	return n < min ? min : n > max ? max : n;
}

static void cut_limits(struct warden_limits *limits)
{
	limits->memory_bytes = between(limits->memory_bytes, MEMORY_MIN, MEMORY_MAX);
	limits->pids = between(limits->pids, 8, 32768);
	limits->cpu_percent = between(limits->cpu_percent, 1, 102400);
	limits->volume_bytes = between(limits->volume_bytes, MEMORY_MIN, MEMORY_MAX);
	/* what fills /tmp counts as memory and stays: it must not be all there is */
	limits->tmp_bytes = between(limits->tmp_bytes, 4096, limits->memory_bytes / 2);
	limits->connections = between(limits->connections, 1, 1000000);
	limits->io_bytes_per_s = between(limits->io_bytes_per_s, 0, MEMORY_MAX);
}

static int check_ranges(const struct warden_packet *packet, struct error *err)
{
	uint32_t n = packet->u.start.nranges;

	if (n > WARDEN_RANGES_MAX || (n && !packet->u.start.is_narrowed))
		return error_set(err, ERR_INVALID, "START: more ranges than there may be");
	for (uint32_t i = 0; i < n; i++) {
		struct warden_range range = packet->u.start.range[i];
		if (range.bits < RANGE_BITS_MIN || range.bits > 32 ||
		    cidr_first((struct cidr){range.address, range.bits}).s_addr !=
			range.address.s_addr)
			return error_set(err, ERR_INVALID, "START: not a range");
	}
	return 0;
}

static int check_allow(struct warden_packet *packet, struct error *err)
{
	if (packet->u.allow.len > WARDEN_ALLOW_MAX)
		return error_set(err, ERR_INVALID, "ALLOW: more than %d", WARDEN_ALLOW_MAX);
	packet->u.allow.ttl_s = (uint32_t)between(packet->u.allow.ttl_s, 1, ALLOW_S_MAX);
	return 0;
}

/* A path below /data, as it is spelt: nothing that leads out, or that means the same as another one. */
static bool is_name(const char *name, size_t len)
{
	for (size_t at = 0; at <= len;) {
		size_t part = strcspn(name + at, "/");
		if (part == 0 || part > NAME_MAX || (part == 1 && name[at] == '.') ||
		    (part == 2 && name[at] == '.' && name[at + 1] == '.'))
			return false;
		at += part + 1;
	}
	return true;
}

/* Names, each with its NUL, then zeros to the end: at least one. */
static bool is_names(const char list[WARDEN_ROOTS_BYTES], size_t min)
{
	size_t n = 0, at = 0;

	if (list[WARDEN_ROOTS_BYTES - 1] || list[WARDEN_ROOTS_BYTES - 2])
		return false;
	for (size_t len; (len = strlen(list + at)) > 0; at += len + 1, n++)
		if (!is_name(list + at, len))
			return false;
	for (; at < WARDEN_ROOTS_BYTES; at++)
		if (list[at])
			return false;
	return n >= min;
}

static int check_archive(const struct warden_archive *archive, struct error *err)
{
	if (!packet_is_text(archive->boot, sizeof(archive->boot), 1, HEX))
		return error_set(err, ERR_INVALID, "archive: boot is not hex");
	if (!packet_is_text(archive->wallet, sizeof(archive->wallet), 32, BASE58))
		return error_set(err, ERR_INVALID, "archive: wallet is no address");
	return 0;
}

static int check_volume(const struct warden_packet *packet, size_t nfds, struct error *err)
{
	bool is_filled = packet->u.start.volume == WARDEN_VOLUME_FILLED;

	if (packet->u.start.volume > WARDEN_VOLUME_FILLED)
		return error_set(err, ERR_INVALID, "START: volume %u", packet->u.start.volume);
	if (nfds != (is_filled ? 2 : 1))
		return error_set(err, ERR_INVALID,
		    is_filled ? "START without its secrets or its archive"
			      : "START without its secrets");
	return is_filled ? check_archive(&packet->u.start.archive, err) : 0;
}

static int check_snapshot(struct warden_packet *packet, size_t nfds, struct error *err)
{
	if (nfds != 2)
		return error_set(err, ERR_INVALID, "SNAPSHOT without its pipe or its secrets");
	if (check_archive(&packet->u.snapshot.archive, err) != 0)
		return -1;
	if (!is_names(packet->u.snapshot.roots, 1) || !is_names(packet->u.snapshot.excluded, 0))
		return error_set(
		    err, ERR_INVALID, "SNAPSHOT: roots and what is excluded are names below /data");
	packet->u.snapshot.level = (uint8_t)between(packet->u.snapshot.level, 1, LEVEL_MAX);
	packet->u.snapshot.bytes_max = between(packet->u.snapshot.bytes_max, 0, MEMORY_MAX);
	return 0;
}

static int check_start(struct warden_packet *packet, size_t nfds, struct error *err)
{
	if (check_volume(packet, nfds, err) != 0)
		return -1;
	if (!packet_is_text(packet->u.start.image, sizeof(packet->u.start.image), 64, HEX))
		return error_set(err, ERR_INVALID, "START: image is no digest");
	if (!packet_is_text(packet->u.start.wallet, sizeof(packet->u.start.wallet), 32, BASE58))
		return error_set(err, ERR_INVALID, "START: wallet is no address");
	if (!packet_is_text(packet->u.start.kind, sizeof(packet->u.start.kind), 0, KIND))
		return error_set(err, ERR_INVALID, "START: kind is not as it should be");
	if (check_ranges(packet, err) != 0)
		return -1;
	cut_limits(&packet->u.start.limits);
	packet->u.start.ready_ms = between(packet->u.start.ready_ms, 1, READY_MS_MAX);
	return 0;
}

/* Arguments, each with its NUL, at least one. */
static int check_exec(struct warden_packet *packet, struct error *err)
{
	uint32_t len = packet->u.exec.len;

	if (len < 2 || len > WARDEN_EXEC_BYTES || packet->u.exec.text[len - 1] != '\0' ||
	    packet->u.exec.text[0] == '\0')
		return error_set(err, ERR_INVALID, "EXEC: arguments are not as they should be");
	packet->u.exec.timeout_ms = between(packet->u.exec.timeout_ms, 1, EXEC_MS_MAX);
	return 0;
}

static int check_agent(const struct warden_packet *packet, struct error *err)
{
	bool has_boot = packet->what != WARDEN_ERASE;

	if (!packet_is_text(packet->agent, sizeof(packet->agent), 32, BASE32))
		return error_set(err, ERR_INVALID, "agent is no sandbox id");
	if (!packet_is_text(packet->boot, sizeof(packet->boot), has_boot ? 1 : 0, HEX))
		return error_set(err, ERR_INVALID, "boot is not hex");
	return 0;
}

int packet_check(struct warden_packet *packet, size_t nfds, struct error *err)
{
	if (packet->version != WARDEN_VERSION)
		return error_set(err, ERR_INVALID, "version %u", packet->version);
	if (packet->what == WARDEN_ALIVE)
		return nfds ? error_set(err, ERR_INVALID, "a descriptor beside ALIVE") : 0;
	if (check_agent(packet, err) != 0)
		return -1;
	if (packet->what == WARDEN_START)
		return check_start(packet, nfds, err);
	if (packet->what == WARDEN_SNAPSHOT)
		return check_snapshot(packet, nfds, err);
	if (nfds)
		return error_set(err, ERR_INVALID, "a descriptor beside %u", packet->what);
	switch (packet->what) {
	case WARDEN_STOP:
		packet->u.stop.grace_ms = between(packet->u.stop.grace_ms, 0, GRACE_MS_MAX);
		packet->u.stop.hold_ms = between(packet->u.stop.hold_ms, 0, HOLD_MS_MAX);
		return 0;
	case WARDEN_KILL:
	case WARDEN_RESET:
	case WARDEN_COUNT:
	case WARDEN_RELEASE:
		return 0;
	case WARDEN_EXEC:
		return check_exec(packet, err);
	case WARDEN_ALLOW:
		return check_allow(packet, err);
	case WARDEN_ERASE:
		return packet_is_text(
			   packet->u.erase.wallet, sizeof(packet->u.erase.wallet), 32, BASE58)
			   ? 0
			   : error_set(err, ERR_INVALID, "ERASE: wallet is no address");
	default:
		return error_set(err, ERR_INVALID, "%u is no request", packet->what);
	}
}
