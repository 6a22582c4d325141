#include "common/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/secret.h"

#define KEY_FILE_MAX 512
#define PEERS_FILE_MAX (64 * 1024)
#define PEERS_MAX 256
#define ROLES_TEXT_MAX 128
/* a file written within this time may be written again without a later time stamp */
#define UNSETTLED_MS 2000

struct peer {
	unsigned roles;
	uint8_t key[32];
	char z85[Z85_KEY_LEN + 4]; /* no padding: lists are compared as bytes */
};
struct peers {
	size_t len;
	struct peer peer[PEERS_MAX];
};
/* What tells one state of the file from another. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec written, changed;
};
struct keyring {
	char *peers_path;
	char own_public[Z85_KEY_LEN + 1];
	struct secret *own_secret; /* Z85 with its NUL */
	struct stamp stamp;
	bool settled;
	struct peers peers;
};

/* Z85 text has one form per key (decoding refuses overlong groups), so texts can be compared. */
static bool key_decode(const char *z85, uint8_t key[32])
{
	return strlen(z85) == Z85_KEY_LEN && zmq_z85_decode(key, z85);
}

static const struct peer *find_z85(const struct peers *peers, const char *z85)
{
	for (size_t i = 0; i < peers->len; i++)
		if (strcmp(peers->peer[i].z85, z85) == 0)
			return &peers->peer[i];
	return NULL;
}

/* A daemon's key has exactly one role; only operators' roles combine. */
static bool roles_fit(unsigned roles)
{
	return roles != 0 && (!(roles & ROLE_DAEMONS) || (roles & (roles - 1)) == 0);
}

static const char *add_peer(struct peers *peers, const char *roles, const char *z85)
{
	struct peer peer = {.roles = role_parse(roles)};

	if (!roles_fit(peer.roles))
		return "roles are unknown or do not combine";
	if (!z85 || !key_decode(z85, peer.key))
		return "key is not 40 characters of Z85";
	if (find_z85(peers, z85))
		return "key is listed twice";
	if (peers->len == PEERS_MAX)
		return "too many keys";
	memcpy(peer.z85, z85, Z85_KEY_LEN);
	peers->peer[peers->len++] = peer;
	return NULL;
}

/* A '#' in the middle of a line is a character of Z85. */
static const char *parse_peer(struct peers *peers, char *line)
{
	char *rest = NULL;
	char *roles = strtok_r(line, " \t\r", &rest);

	if (!roles || roles[0] == '#')
		return NULL;
	char *z85 = strtok_r(NULL, " \t\r", &rest);
	if (strtok_r(NULL, " \t\r", &rest))
		return "more than a role and a key";
	return add_peer(peers, roles, z85);
}

static int parse_peers(struct peers *peers, const char *path, char *text, struct error *err)
{
	char *rest = text;
	unsigned number = 0;

	for (char *line; (line = strsep(&rest, "\n"));) {
		const char *wrong = parse_peer(peers, line);
		number++;
		if (wrong)
			return error_set(err, ERR_INVALID, "%s:%u: %s", path, number, wrong);
	}
	return 0;
}

static struct stamp stamp_of(const struct stat *st)
{
	struct stamp stamp;

	memset(&stamp, 0, sizeof(stamp)); /* padding too: stamps are compared as bytes */
	stamp.dev = st->st_dev;
	stamp.ino = st->st_ino;
	stamp.size = st->st_size;
	stamp.written = st->st_mtim;
	stamp.changed = st->st_ctim;
	return stamp;
}

static int check_peers_file(const struct stat *st, const char *path, struct error *err)
{
	if (!S_ISREG(st->st_mode))
		return error_set(err, ERR_INVALID, "%s: not a regular file", path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return error_set(err, ERR_DENIED, "%s: others may write it", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return error_set(err, ERR_DENIED, "%s: belongs to somebody else", path);
	if (st->st_size > PEERS_FILE_MAX)
		return error_set(err, ERR_INVALID, "%s: too large", path);
	return 0;
}

static int read_peers(struct peers *peers, const char *path, struct error *err)
{
	struct stat st;
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	scoped_free char *text = malloc(PEERS_FILE_MAX + 1);

	bug_if(!text);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (check_peers_file(&st, path, err) < 0)
		return -1;
	size_t len = 0;
	for (ssize_t n; (n = read(fd, text + len, PEERS_FILE_MAX + 1 - len)) != 0; len += (size_t)n)
		if (n < 0)
			return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (len > PEERS_FILE_MAX || memchr(text, '\0', len))
		return error_set(err, ERR_INVALID, "%s: too large, or not text", path);
	text[len] = '\0';
	return parse_peers(peers, path, text, err);
}

/* The value of "<name> <40 characters>" in the file's text; NULL if there is no such line. */
static const char *key_line(const struct secret *file, const char *name)
{
	const char *text = (const char *)secret_bytes(file);
	const char *end = text + secret_len(file);
	size_t name_len = strlen(name);

	for (const char *line = text; line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((next ? next : end) - line);
		if (len == name_len + 1 + Z85_KEY_LEN && memcmp(line, name, name_len) == 0 &&
		    line[name_len] == ' ')
			return line + name_len + 1;
		line += len + 1;
	}
	return NULL;
}

static int read_own(struct keyring *keyring, const char *path, struct error *err)
{
	scoped_secret struct secret *file = secret_read_file(path, KEY_FILE_MAX, err);
	char secret[Z85_KEY_LEN + 1] = "", derived[Z85_KEY_LEN + 1] = "";

	if (!file)
		return -1;
	const char *public_at = key_line(file, "public"), *secret_at = key_line(file, "secret");
	if (!public_at || !secret_at)
		return error_set(err, ERR_INVALID, "%s: needs a public and a secret line", path);
	memcpy(keyring->own_public, public_at, Z85_KEY_LEN);
	memcpy(secret, secret_at, Z85_KEY_LEN);
	bool fits =
	    zmq_curve_public(derived, secret) == 0 && strcmp(derived, keyring->own_public) == 0;
	if (fits)
		keyring->own_secret = secret_new(secret, sizeof(secret));
	sodium_memzero(secret, sizeof(secret));
	if (!fits)
		return error_set(err, ERR_INVALID, "%s: the two keys are not a pair", path);
	return 0;
}

static char *path_of(const char *folder, const char *name, const char *suffix)
{
	char *path = NULL;

	bug_if(asprintf(&path, "%s/curve/%s%s", folder, name, suffix) < 0);
	return path;
}

struct keyring *keyring_open(const char *folder, const char *own, struct error *err)
{
	struct keyring *keyring = calloc(1, sizeof(*keyring));
	scoped_free char *own_path = path_of(folder, own, ".key");
	struct stat st;

	bug_if(!keyring);
	keyring->peers_path = path_of(folder, "peers", "");
	/* stamped before it is read: what changes in between is read again */
	if (stat(keyring->peers_path, &st) == 0)
		keyring->stamp = stamp_of(&st);
	if (read_own(keyring, own_path, err) < 0 ||
	    read_peers(&keyring->peers, keyring->peers_path, err) < 0)
		keyring_destroy(&keyring);
	return keyring;
}

void keyring_destroy(struct keyring **keyring)
{
	if (!*keyring)
		return;
	secret_destroy(&(*keyring)->own_secret);
	free((*keyring)->peers_path);
	free(*keyring);
	*keyring = NULL;
}

unsigned keyring_roles(const struct keyring *keyring, const uint8_t key[32])
{
	const struct peers *peers = &keyring->peers;

	for (size_t i = 0; i < peers->len; i++)
		if (memcmp(peers->peer[i].key, key, sizeof(peers->peer[i].key)) == 0)
			return peers->peer[i].roles;
	return 0;
}

unsigned keyring_roles_z85(const struct keyring *keyring, const char *z85)
{
	const struct peer *peer = find_z85(&keyring->peers, z85);

	return peer ? peer->roles : 0;
}

static bool has_one_of(const struct peer *peer, unsigned roles)
{
	return (peer->roles & roles) && (peer->roles & (peer->roles - 1)) == 0;
}

const char *keyring_server_key_at(const struct keyring *keyring, unsigned roles, size_t turn)
{
	const struct peers *peers = &keyring->peers;
	size_t count = 0;

	for (size_t i = 0; i < peers->len; i++)
		count += has_one_of(&peers->peer[i], roles);
	if (count == 0)
		return NULL;
	turn %= count;
	for (size_t i = 0;; i++)
		if (has_one_of(&peers->peer[i], roles) && turn-- == 0)
			return peers->peer[i].z85;
}

const char *keyring_server_key(const struct keyring *keyring, enum role role)
{
	return keyring_server_key_at(keyring, role, 0);
}

const char *keyring_own_public(const struct keyring *keyring)
{
	return keyring->own_public;
}

const char *keyring_own_secret(const struct keyring *keyring)
{
	return (const char *)secret_bytes(keyring->own_secret);
}

/* Has the file certainly not changed since it was read? */
static bool is_current(struct keyring *keyring)
{
	struct stat st;
	struct stamp stamp;

	memset(&stamp, 0, sizeof(stamp));
	if (stat(keyring->peers_path, &st) == 0)
		stamp = stamp_of(&st);
	bool same = memcmp(&stamp, &keyring->stamp, sizeof(stamp)) == 0;
	if (same && keyring->settled)
		return true;
	uint64_t written_ms =
	    (uint64_t)stamp.written.tv_sec * 1000 + (uint64_t)stamp.written.tv_nsec / 1000000;
	uint64_t now_ms = clock_unix_ms();
	keyring->settled = now_ms > written_ms && now_ms - written_ms > UNSETTLED_MS;
	keyring->stamp = stamp;
	return false;
}

bool keyring_refresh(struct keyring *keyring)
{
	struct error err = {0};

	if (is_current(keyring))
		return false;
	scoped_free struct peers *peers = calloc(1, sizeof(*peers));
	bug_if(!peers);
	bool good = read_peers(peers, keyring->peers_path, &err) == 0;
	if (!good)
		memset(peers, 0, sizeof(*peers));
	if (memcmp(peers, &keyring->peers, sizeof(*peers)) == 0)
		return false;
	memcpy(&keyring->peers, peers, sizeof(*peers));
	if (good)
		log_info("allow-list read again", "keys", log_u64(peers->len));
	else
		log_error("allow-list unreadable: nobody is let in", "why", err.text);
	return true;
}
