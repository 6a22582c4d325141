#include "services/cli/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/keyring.h"
#include "common/role.h"
#include "common/scoped.h"
#include "common/secret.h"

#define PATH_SIZE 512
#define LIST_SIZE 16384
#define SIGNING_KEY_LEN 32
#define TEN_YEARS_S ((uint64_t)10 * 365 * 86400)
#define HANDOVER_S 60
#define SESSION_LIFE_S (7 * 86400 + 3600)

/* A daemon's role, and its rights in Redis beside those that every daemon has. */
static const struct daemon {
	const char *role;
	const char *keys;
} daemons[] = {
    {"router", ""},
    {"auth", " %RW~mc:nonce:* %RW~mc:rate:*"},
    {"session", " %RW~mc:session:* %RW~mc:sessions:* %RW~mc:banned:* %R~mc:owner:*"},
    {"chain-oracle", " %RW~mc:chain %RW~mc:assets %RW~mc:owner:* %R~mc:sessions:*"},
};
#define EVERYONES_KEYS "%RW~mc:history %RW~mc:events %RW~mc:replica:* %R~mc:chain"
/* what ledger.lua calls, and what a client needs to get there */
#define EVERYONES_COMMANDS                                                                                             \
	"-@all +auth +ping +info +time +eval +evalsha +del +exists +set +getdel +hget +hmget +hset +pexpire +pexpireat "  \
	"+sadd +srem +sscan +xadd +xlen +xrange +xrevrange +zadd +zcard +zcount +zrange +zrangebyscore +zrem +zremrangebyscore"

static int path_of(char path[PATH_SIZE], const char *folder, const char *name, struct error *err)
{
	if (snprintf(path, PATH_SIZE, "%s/%s", folder, name) >= PATH_SIZE)
		return error_set(err, ERR_INVALID, "%s: the path is too long", folder);
	return 0;
}

static int make_folder(const char *folder, const char *name, struct error *err)
{
	char path[PATH_SIZE];

	if (path_of(path, folder, name, err) < 0)
		return -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, ERR_INTERNAL, "cannot make %s: %s", path, strerror(errno));
	return 0;
}

static bool exists(const char *folder, const char *name)
{
	char path[PATH_SIZE];

	return snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* The file is there whole or not at all, and on the disk before this returns. */
static int replace(const char *folder, const char *name, mode_t mode, const char *text, struct error *err)
{
	char path[PATH_SIZE], temp[PATH_SIZE + 8];

	if (path_of(path, folder, name, err) < 0)
		return -1;
	snprintf(temp, sizeof(temp), "%s.new", path);
	unlink(temp);
	scoped_fd int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	size_t len = strlen(text);
	if (fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) < 0 || rename(temp, path) < 0) {
		int saved = errno;
		unlink(temp);
		return error_set(err, ERR_INTERNAL, "cannot write %s: %s", path, strerror(saved));
	}
	printf("%s\n", path);
	return 0;
}

static int make_pair(const char *folder, const char *name, char public_r[Z85_KEY_LEN + 1], struct error *err)
{
	char secret[Z85_KEY_LEN + 1], text[128], file[64];

	snprintf(file, sizeof(file), "curve/%s.key", name);
	if (zmq_curve_keypair(public_r, secret) != 0)
		return error_set(err, ERR_INTERNAL, "libzmq has no CURVE: %s", zmq_strerror(zmq_errno()));
	snprintf(text, sizeof(text), "public %s\nsecret %s\n", public_r, secret);
	int rc = replace(folder, file, 0600, text, err);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(text, sizeof(text));
	return rc;
}

/* A new key that the list does not name would never be let in, and rewriting the list could throw others out. */
static int refuse_half(const char *folder, const char *missing, const char *list, struct error *err)
{
	return error_set(err, ERR_CONFLICT, "%s/%s is missing but %s/%s is there: put it back, or remove both and begin anew",
	    folder, missing, folder, list);
}

static int init_curve(const char *folder, struct error *err)
{
	static const char head[] = "# Who is who on the bus: <role[+role]> <public key>. Read again when it changes.\n";
	char peers[LIST_SIZE], public[Z85_KEY_LEN + 1], file[64];
	size_t len = (size_t)snprintf(peers, sizeof(peers), "%s", head);
	bool listed = exists(folder, "curve/peers");

	for (size_t i = 0; i <= ARRAY_LEN(daemons); i++) {
		const char *name = i < ARRAY_LEN(daemons) ? daemons[i].role : "operator";
		snprintf(file, sizeof(file), "curve/%s.key", name);
		bool there = exists(folder, file);
		if (there && listed)
			continue;
		if (there || listed)
			return refuse_half(folder, there ? "curve/peers" : file, there ? file : "curve/peers", err);
		if (make_pair(folder, name, public, err) < 0)
			return -1;
		len += (size_t)snprintf(peers + len, sizeof(peers) - len, "%s %s\n",
		    i < ARRAY_LEN(daemons) ? name : "operator-read+operator-revoke", public);
	}
	return listed ? 0 : replace(folder, "curve/peers", 0644, peers, err);
}

static void acl_line(const struct daemon *daemon, const char *password, char *text, size_t size)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];

	crypto_hash_sha256(hash, (const unsigned char *)password, strlen(password));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(text, size, "user %s on #%s resetkeys resetchannels %s%s %s\n", daemon->role, hex, EVERYONES_KEYS, daemon->keys,
	    EVERYONES_COMMANDS);
}

static int init_redis(const char *folder, struct error *err)
{
	/* off for clients, but with every right: Redis 7.0 replays the append-only file as this user and leaves out what it may not do */
	static const char head[] = "user default off resetpass ~* &* +@all\n";
	char acl[LIST_SIZE], file[64], password[65], line[80];
	unsigned char bytes[32];
	size_t len = (size_t)snprintf(acl, sizeof(acl), "%s", head);
	bool listed = exists(folder, "redis/users.acl");

	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		snprintf(file, sizeof(file), "redis/%s.password", daemons[i].role);
		bool there = exists(folder, file);
		if (there && listed)
			continue;
		if (there || listed)
			return refuse_half(folder, there ? "redis/users.acl" : file, there ? file : "redis/users.acl", err);
		randombytes_buf(bytes, sizeof(bytes));
		sodium_bin2hex(password, sizeof(password), bytes, sizeof(bytes));
		snprintf(line, sizeof(line), "%s\n", password);
		if (replace(folder, file, 0600, line, err) < 0)
			return -1;
		acl_line(&daemons[i], password, acl + len, sizeof(acl) - len);
		len += strlen(acl + len);
	}
	sodium_memzero(password, sizeof(password));
	sodium_memzero(line, sizeof(line));
	return listed ? 0 : replace(folder, "redis/users.acl", 0600, acl, err);
}

/* One line of jwt.keys: a fresh key, good from not_before on. */
static void signing_line(uint64_t not_before_s, char *text, size_t size)
{
	unsigned char bytes[SIGNING_KEY_LEN], id[4];
	char encoded[sodium_base64_ENCODED_LEN(SIGNING_KEY_LEN, sodium_base64_VARIANT_ORIGINAL)], kid[9];

	randombytes_buf(bytes, sizeof(bytes));
	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(kid, sizeof(kid), id, sizeof(id));
	sodium_bin2base64(encoded, sizeof(encoded), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
	snprintf(text, size, "%s %" PRIu64 " %" PRIu64 " %s\n", kid, not_before_s, not_before_s + TEN_YEARS_S, encoded);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(encoded, sizeof(encoded));
}

static int init_signing(const char *folder, struct error *err)
{
	char text[512] = "# session's signing keys: <kid> <not before, Unix s> <not after> <base64>. Change it by `multiclaw keys rotate`.\n";
	size_t len = strlen(text);

	if (exists(folder, "jwt.keys"))
		return 0;
	signing_line(clock_unix_ms() / 1000, text + len, sizeof(text) - len);
	int rc = replace(folder, "jwt.keys", 0600, text, err);
	sodium_memzero(text, sizeof(text));
	return rc;
}

int keys_init(const char *folder, struct error *err)
{
	if (make_folder(folder, "", err) < 0 || make_folder(folder, "curve", err) < 0 || make_folder(folder, "redis", err) < 0)
		return -1;
	if (init_curve(folder, err) < 0 || init_redis(folder, err) < 0)
		return -1;
	return init_signing(folder, err);
}

/* jwt.keys being rewritten line by line. */
struct edit {
	char text[LIST_SIZE];
	size_t len;
	const char *kid; /* retire: leave this one out */
	uint64_t end_s;  /* rotate: nothing else lasts longer */
	size_t dropped, kept;
};

static void keep_line(struct edit *edit, const char *line)
{
	char kid[64], encoded[256];
	uint64_t not_before, not_after;

	if (line[0] == '#' || sscanf(line, "%63s %" SCNu64 " %" SCNu64 " %255s", kid, &not_before, &not_after, encoded) != 4) {
		edit->len += (size_t)snprintf(edit->text + edit->len, sizeof(edit->text) - edit->len, "%s\n", line);
		return;
	}
	if (edit->kid && strcmp(kid, edit->kid) == 0) {
		edit->dropped++;
		return;
	}
	edit->kept++;
	edit->len += (size_t)snprintf(edit->text + edit->len, sizeof(edit->text) - edit->len,
	    "%s %" PRIu64 " %" PRIu64 " %s\n", kid, not_before, edit->end_s && not_after > edit->end_s ? edit->end_s : not_after,
	    encoded);
	sodium_memzero(encoded, sizeof(encoded));
}

static int edit_signing(const char *folder, struct edit *edit, struct error *err)
{
	char path[PATH_SIZE], line[512];

	if (path_of(path, folder, "jwt.keys", err) < 0)
		return -1;
	scoped_secret struct secret *file = secret_read_file(path, LIST_SIZE / 2, err);
	if (!file)
		return -1;
	const char *at = (const char *)secret_bytes(file), *end = at + secret_len(file);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);
		if (len >= sizeof(line))
			return error_set(err, ERR_INVALID, "%s: a line is too long", path);
		memcpy(line, at, len);
		line[len] = '\0';
		keep_line(edit, line);
		at += len + 1;
	}
	sodium_memzero(line, sizeof(line));
	return 0;
}

int keys_rotate(const char *folder, struct error *err)
{
	uint64_t begins_s = clock_unix_ms() / 1000 + HANDOVER_S;
	struct edit edit = {.end_s = begins_s + SESSION_LIFE_S};
	int rc = edit_signing(folder, &edit, err);

	if (rc == 0) {
		signing_line(begins_s, edit.text + edit.len, sizeof(edit.text) - edit.len);
		rc = replace(folder, "jwt.keys", 0600, edit.text, err);
	}
	sodium_memzero(&edit, sizeof(edit));
	return rc;
}

int keys_retire(const char *folder, const char *kid, struct error *err)
{
	struct edit edit = {.kid = kid};
	int rc = edit_signing(folder, &edit, err);

	if (rc == 0 && !edit.dropped)
		rc = error_set(err, ERR_NOT_FOUND, "there is no signing key '%s'", kid);
	else if (rc == 0 && !edit.kept)
		rc = error_set(err, ERR_CONFLICT, "'%s' is the only signing key: rotate first", kid);
	else if (rc == 0)
		rc = replace(folder, "jwt.keys", 0600, edit.text, err);
	sodium_memzero(&edit, sizeof(edit));
	return rc;
}
