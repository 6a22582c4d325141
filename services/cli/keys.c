#include "services/cli/keys.h"

#include <czmq.h>
#include <sodium.h>

#include "common/scoped.h"
#include "common/secret.h"
#include "services/cli/keys_file.h"
#include "services/cli/keys_jwt.h"
#include "services/cli/vault_key.h"

#define PASSWORD_BYTES 32
#define PASSWORD_LEN (2 * PASSWORD_BYTES)

/* What every role's follower needs (common/ledger.lua, follow). */
#define FOLLOW \
	"%RW~mc:history %RW~mc:events %RW~mc:replicas %R~mc:chain " \
	"+ping +info +time +eval +evalsha +hmget +hset +xadd +xlen +xrange +xrevrange"

/* What one needs that looks at who owns what (the same, owner). */
#define OWNER "(%R~mc:owner:* %R~mc:banned:* %R~mc:ended:* +hmget +exists +get)"

/* Each daemon's role in curve/peers and its user in Redis. What it may do there besides following is a selector: these commands on these
 * keys, so that the right to delete a session is none to delete the history. */
static const struct daemon {
	const char *role, *selectors;
} daemons[] = {
    {"router", " (%R~mc:place:* +get) (%R~mc:llm:agent:* %R~mc:llm:usage:* %R~mc:llm:limits +hmget "
	       "+hgetall)"},
    {"auth", " (%RW~mc:nonce:* %RW~mc:rate:* +set +getdel +hmget +hset +pexpire)"},
    {"session", " (%RW~mc:session:* %RW~mc:sessions:* %RW~mc:banned:* %RW~mc:ended:* +hget +hmget "
		"+hset +exists +del +set "
		"+pexpireat +zadd +zrem +zcard +zrange +zrangebyscore +zremrangebyscore)"
		" (%RW~mc:children:* +zadd +zrem +zcard +zrange +del +pexpireat)"
		" (%RW~mc:ticket:* +set +getdel) (%RW~mc:rate:opening:* +hmget +hset +pexpire)"
		" (%RW~mc:place:* +get +set)"
		" (%RW~mc:replicas +hgetall +hdel) (%R~mc:assets +sscan)"
		" (%R~mc:owner:* %R~mc:chain +hmget +hget) " OWNER},
    {"chain-oracle", " (%RW~mc:owner:* %RW~mc:assets +hmget +hget +hset +del +sadd +srem +sscan)"
		     " (%RW~mc:chain +hmget +hget +hset) (%R~mc:sessions:* +zcount)"
		     " (%R~mc:held:* +exists) (%RW~mc:ended:* +del)"},
    {"secret-vault", " (%RW~mc:held:* +sadd +srem) (%R~mc:place:* +get) " OWNER
		     " (%RW~mc:rate:* +hmget +hset +pexpire)"},
    {"sandbox", " (%RW~mc:held:* +sadd +srem) (%RW~mc:place:* +setnx +get)"
		" " OWNER},
    {"llm-gateway", " (%RW~mc:llm:* +hget +hmget +hset +hexists +hincrby +pexpire)"},
    {"agent-wallet",
	" (%RW~mc:wallet:* +hmget +hget +hset +del +pexpire +zadd +zrem +zcard +zrange "
	"+zremrangebyscore) (%R~mc:place:* +get) " OWNER
	" (%RW~mc:rate:wallet:* %RW~mc:rate:wallet_build:* +hmget +hset +pexpire)"},
};
/* Redis' own users, where it has replicas: what replicas are at their primary, and Sentinels at both (redis.io, "High availability with Redis
 * Sentinel"). */
static const struct helper {
	const char *name, *rights;
} helpers[] = {
    {"replica", "resetchannels -@all +psync +replconf +ping"},
    {"sentinel", "allchannels -@all +multi +slaveof +ping +exec +subscribe +config|rewrite +role "
		 "+publish +info +client|setname +client|kill +script|kill"},
};
/* All that a daemon may ask of a Sentinel. */
#define ASK "resetchannels -@all +auth +ping +sentinel|get-master-addr-by-name"

#define OPERATOR "operator"
#define OPERATOR_ROLES "operator-read+operator-revoke+operator-vault"
#define PEERS "curve/peers"
#define USERS "redis/users.acl"
#define REPLICA_CONF "redis/replica.conf"
#define SENTINEL_CONF "redis/sentinel.conf"
#define USERS_MAX 65536

struct name {
	char *path;
};

static void name_free(struct name *name)
{
	free(name->path);
}
#define scoped_name __attribute__((cleanup(name_free)))

__attribute__((format(printf, 1, 2))) static struct name name_of(const char *fmt, ...)
{
	struct name name = {NULL};
	va_list ap;

	va_start(ap, fmt);
	bug_if(vasprintf(&name.path, fmt, ap) < 0);
	va_end(ap);
	return name;
}

static int make(const char *path, mode_t mode, const char *text, struct error *err)
{
	struct key_file file = {.mode = mode, .bytes = text, .len = strlen(text)};

	if (key_file_create(path, &file, err) < 0)
		return -1;
	printf("made %s\n", path);
	return 0;
}

/* ---- curve ---- */

static struct name curve_path(const char *folder, const char *who)
{
	return name_of("%s/curve/%s.key", folder, who);
}

static int make_pair(const char *path, struct error *err)
{
	char text[128];
	zcert_t *pair = zcert_new();

	bug_if(!pair);
	snprintf(text, sizeof(text), "public %s\nsecret %s\n", zcert_public_txt(pair),
	    zcert_secret_txt(pair));
	int rc = make(path, 0600, text, err);
	sodium_memzero(text, sizeof(text));
	zcert_destroy(&pair);
	return rc;
}

static int read_public(const char *path, char public[41], struct error *err)
{
	static const char name[] = "public ";
	scoped_secret struct secret *file = secret_read_file(path, 512, err);

	if (!file)
		return -1;
	const char *text = (const char *)secret_bytes(file);
	if (secret_len(file) < strlen(name) + 40 || memcmp(text, name, strlen(name)) != 0)
		return error_set(err, ERR_INVALID, "%s: no public key in it", path);
	memcpy(public, text + strlen(name), 40);
	public[40] = '\0';
	return 0;
}

static int list_peer(
    FILE *out, const char *folder, const char *who, const char *roles, struct error *err)
{
	scoped_name struct name path = curve_path(folder, who);
	char public[41];

	if (read_public(path.path, public, err) < 0)
		return -1;
	fprintf(out, "%s %s\n", roles, public);
	return 0;
}

static int make_peers(const char *folder, const char *path, struct error *err)
{
	scoped_free char *text = NULL;
	size_t size = 0;
	int rc = 0;
	FILE *out = open_memstream(&text, &size);

	bug_if(!out);
	fprintf(out,
	    "# role and public key of everybody who may use the bus; read again when it changes\n");
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(daemons); i++)
		rc = list_peer(out, folder, daemons[i].role, daemons[i].role, err);
	if (rc == 0)
		rc = list_peer(out, folder, OPERATOR, OPERATOR_ROLES, err);
	fclose(out);
	return rc == 0 ? make(path, 0644, text, err) : -1;
}

/* ---- redis ---- */

static struct name password_path(const char *folder, const char *role)
{
	return name_of("%s/redis/%s.password", folder, role);
}

static int make_password(const char *path, struct error *err)
{
	uint8_t bytes[PASSWORD_BYTES];
	char text[PASSWORD_LEN + 2];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
	text[PASSWORD_LEN] = '\n';
	text[PASSWORD_LEN + 1] = '\0';
	int rc = make(path, 0600, text, err);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(text, sizeof(text));
	return rc;
}

static int read_password_hash(
    const char *path, char hash[2 * crypto_hash_sha256_BYTES + 1], struct error *err)
{
	scoped_secret struct secret *password = secret_read_file(path, 256, err);
	uint8_t digest[crypto_hash_sha256_BYTES];

	if (!password)
		return -1;
	crypto_hash_sha256(digest, secret_bytes(password), secret_len(password));
	sodium_bin2hex(hash, 2 * sizeof(digest) + 1, digest, sizeof(digest));
	return 0;
}

static int write_user(FILE *out, const char *folder, const char *name, struct error *err)
{
	scoped_name struct name path = password_path(folder, name);
	char hash[2 * crypto_hash_sha256_BYTES + 1];

	if (read_password_hash(path.path, hash, err) < 0)
		return -1;
	fprintf(out, "user %s on #%s ", name, hash);
	return 0;
}

/* The default user cannot be used, but keeps its rights: Redis 7.0 replays the append-only file as it, and silently leaves out what it may not do. */
static int make_acl(const char *folder, const char *path, struct error *err)
{
	scoped_free char *text = NULL;
	size_t size = 0;
	int rc = 0;
	FILE *out = open_memstream(&text, &size);

	bug_if(!out);
	fprintf(out, "user default off resetpass ~* &* +@all\n");
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(daemons); i++) {
		rc = write_user(out, folder, daemons[i].role, err);
		fprintf(out, "resetkeys resetchannels -@all %s%s\n", FOLLOW, daemons[i].selectors);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(helpers); i++) {
		rc = write_user(out, folder, helpers[i].name, err);
		fprintf(out, "resetkeys %s\n", helpers[i].rights);
	}
	fclose(out);
	return rc == 0 ? make(path, 0600, text, err) : -1;
}

/* Redis and Sentinel take the passwords that they show only as they are. */
static int write_password(
    FILE *out, const char *folder, const char *name, const char *before, struct error *err)
{
	scoped_name struct name path = password_path(folder, name);
	scoped_secret struct secret *password = secret_read_file(path.path, 256, err);

	if (!password)
		return -1;
	fprintf(out, "%s%.*s\n", before, (int)secret_len(password),
	    (const char *)secret_bytes(password));
	return 0;
}

static int write_replica_conf(FILE *out, const char *folder, struct error *err)
{
	fprintf(out, "masteruser replica\n");
	return write_password(out, folder, "replica", "masterauth ", err);
}

/* Its own user may do all there: other Sentinels use it, and operators. */
static int write_sentinel_conf(FILE *out, const char *folder, struct error *err)
{
	fprintf(out, "sentinel auth-user multiclaw sentinel\nsentinel sentinel-user sentinel\n");
	if (write_password(out, folder, "sentinel", "sentinel auth-pass multiclaw ", err) < 0 ||
	    write_password(out, folder, "sentinel", "sentinel sentinel-pass ", err) < 0)
		return -1;
	fprintf(out, "user default off\n");
	if (write_user(out, folder, "sentinel", err) < 0)
		return -1;
	fprintf(out, "allchannels +@all\n");
	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		if (write_user(out, folder, daemons[i].role, err) < 0)
			return -1;
		fprintf(out, ASK "\n");
	}
	return 0;
}

static bool is_same(const char *path, const char *text, size_t len)
{
	struct error ignored;
	scoped_secret struct secret *there = secret_read_file(path, USERS_MAX, &ignored);

	/* the last newline is not part of what was read */
	return there && secret_len(there) + 1 == len &&
	       memcmp(secret_bytes(there), text, len - 1) == 0;
}

/* Nothing of these is anybody's own: they are made anew when a password is. */
static int make_conf(const char *folder, const char *name,
    int (*write)(FILE *out, const char *folder, struct error *err), struct error *err)
{
	scoped_name struct name path = name_of("%s/%s", folder, name);
	int there = key_file_exists(path.path, err);
	struct key_file file = {.mode = 0600};
	char *text = NULL;

	if (there < 0)
		return -1;
	FILE *out = open_memstream(&text, &file.len);
	bug_if(!out);
	int rc = write(out, folder, err);
	fclose(out);
	file.bytes = text;
	if (rc == 0 && !is_same(path.path, text, file.len)) {
		rc = there ? key_file_replace(path.path, &file, err)
			   : key_file_create(path.path, &file, err);
		if (rc == 0)
			printf("made %s\n", path.path);
	}
	sodium_memzero(text, file.len);
	free(text);
	return rc;
}

/* ---- init ---- */

/* The keys that a user's line names have to be among those of the list that is there: who made it may have been an older version. Added rights and passwords stay the
 * operator's business. */
static bool line_covers(const char *line, size_t len, const char *selectors)
{
	for (const char *at = strchr(selectors, '~'); at; at = strchr(at + 1, '~')) {
		size_t word = strcspn(at, " )");
		if (!memmem(line, len, at, word))
			return false;
	}
	return true;
}

static const char *find_user(const char *users, const char *role, size_t *len_r)
{
	scoped_name struct name start = name_of("user %s ", role);

	for (const char *line = users; *line; line += *len_r + (line[*len_r] == '\n')) {
		*len_r = strcspn(line, "\n");
		if (strncmp(line, start.path, strlen(start.path)) == 0)
			return line;
	}
	return NULL;
}

static int check_acl(const char *folder, struct error *err)
{
	scoped_name struct name path = name_of("%s/" USERS, folder);
	scoped_secret struct secret *file = secret_read_file(path.path, USERS_MAX, err);

	if (!file)
		return -1;
	scoped_free char *users = strndup((const char *)secret_bytes(file), secret_len(file));
	bug_if(!users);
	for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
		size_t len;
		const char *line = find_user(users, daemons[i].role, &len);
		if (!line || !line_covers(line, len, daemons[i].selectors))
			return error_set(err, ERR_CONFLICT,
			    "%s: " USERS " has not all that %s needs (made by an older version?): "
			    "move it away, run this again, load it; put lines of your own back",
			    folder, daemons[i].role);
	}
	return 0;
}

struct secrets {
	const char *folder;
	struct name (*path_of)(const char *folder, const char *who);
	int (*make)(const char *path, struct error *err);
	const char *list; /* made from all of them; must not be there if one of them is missing */
	int (*make_list)(const char *folder, const char *path, struct error *err);
	const char *others[ARRAY_LEN(helpers)]; /* who has one as well; NULL: nobody */
};

static size_t count(const struct secrets *secrets)
{
	size_t n = 0;

	while (n < ARRAY_LEN(secrets->others) && secrets->others[n])
		n++;
	return ARRAY_LEN(daemons) + n;
}

static const char *who(const struct secrets *secrets, size_t i)
{
	size_t n = ARRAY_LEN(daemons);

	return i < n ? daemons[i].role : secrets->others[i - n];
}

/* A new secret that the list does not know would only fail later, and elsewhere. */
static int check_missing(const struct secrets *secrets, struct error *err)
{
	for (size_t i = 0; i < count(secrets); i++) {
		scoped_name struct name path = secrets->path_of(secrets->folder, who(secrets, i));
		int there = key_file_exists(path.path, err);
		if (there < 0)
			return -1;
		if (!there)
			return error_set(err, ERR_CONFLICT,
			    "%s: no %s (made by an older version?): move " PEERS " and " USERS
			    " away, run this again; keys stay, put lines of your own back",
			    secrets->folder, path.path + strlen(secrets->folder) + 1);
	}
	return 0;
}

static int make_missing(const struct secrets *secrets, struct error *err)
{
	for (size_t i = 0; i < count(secrets); i++) {
		scoped_name struct name path = secrets->path_of(secrets->folder, who(secrets, i));
		int there = key_file_exists(path.path, err);
		if (there < 0 || (!there && secrets->make(path.path, err) < 0))
			return -1;
	}
	return 0;
}

static int make_secrets(const struct secrets *secrets, struct error *err)
{
	scoped_name struct name list = name_of("%s/%s", secrets->folder, secrets->list);
	int listed = key_file_exists(list.path, err);

	if (listed < 0)
		return -1;
	if (listed)
		return check_missing(secrets, err);
	if (make_missing(secrets, err) < 0)
		return -1;
	return secrets->make_list(secrets->folder, list.path, err);
}

static int make_jwt(const char *folder, struct error *err)
{
	scoped_name struct name path = name_of("%s/jwt.keys", folder);
	int there = key_file_exists(path.path, err);

	if (there != 0)
		return there < 0 ? -1 : 0;
	if (keys_jwt_create(path.path, err) < 0)
		return -1;
	printf("made %s\n", path.path);
	return 0;
}

static int make_vault_key(const char *folder, struct error *err)
{
	scoped_name struct name path = name_of("%s/vault.key", folder);
	int there = key_file_exists(path.path, err);

	if (there != 0)
		return there < 0 ? -1 : 0;
	if (vault_key_create(path.path, err) < 0)
		return -1;
	printf("made %s\n", path.path);
	return 0;
}

int keys_init(const char *folder, struct error *err)
{
	const struct secrets curve = {.folder = folder,
	    .path_of = curve_path,
	    .make = make_pair,
	    .list = PEERS,
	    .make_list = make_peers,
	    .others = {OPERATOR}};
	const struct secrets redis = {.folder = folder,
	    .path_of = password_path,
	    .make = make_password,
	    .list = USERS,
	    .make_list = make_acl,
	    .others = {helpers[0].name, helpers[1].name}};
	scoped_name struct name curve_folder = name_of("%s/curve", folder);
	scoped_name struct name redis_folder = name_of("%s/redis", folder);

	bug_if(sodium_init() < 0);
	if (key_file_folder(folder, err) < 0 || key_file_folder(curve_folder.path, err) < 0 ||
	    key_file_folder(redis_folder.path, err) < 0)
		return -1;
	if (make_secrets(&curve, err) < 0 || make_secrets(&redis, err) < 0 ||
	    check_acl(folder, err) < 0)
		return -1;
	if (make_conf(folder, REPLICA_CONF, write_replica_conf, err) < 0 ||
	    make_conf(folder, SENTINEL_CONF, write_sentinel_conf, err) < 0)
		return -1;
	if (make_jwt(folder, err) < 0)
		return -1;
	return make_vault_key(folder, err);
}
