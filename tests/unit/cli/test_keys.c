#include <dirent.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/keyring.h"
#include "common/scoped.h"
#include "services/cli/keys.h"
#include "services/cli/vault_key.h"
#include "tests/unit/common/redis_fixture.h"
#include "tests/unit/common/scratch.h"

#define NOW_S 1800000000

static const char *const roles[] = {"router", "auth", "session", "chain-oracle", "secret-vault",
    "sandbox", "llm-gateway", "agent-wallet"};
enum { ROUTER, AUTH, SESSION, ORACLE, VAULT, SANDBOX, GATEWAY, WALLET, NROLES };

struct folder {
	char dir[64];
	char keys[80];
};

static int open_folder(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));

	assert_true(sodium_init() >= 0);
	snprintf(folder->dir, sizeof(folder->dir), "/tmp/mc-unit-XXXXXX");
	assert_non_null(mkdtemp(folder->dir));
	snprintf(folder->keys, sizeof(folder->keys), "%s/keys", folder->dir);
	*state = folder;
	return 0;
}

static int close_folder(void **state)
{
	struct folder *folder = *state;
	clock_fake(0, 0);
	assert_int_equal(scratch_remove(folder->dir), 0);
	free(folder);
	return 0;
}

static void init(const struct folder *folder)
{
	struct error err = {0};

	if (keys_init(folder->keys, &err) < 0)
		fail_msg("%s", err.text);
}

/* A whole file as text. Caller frees. */
static char *text_of(const struct folder *folder, const char *name)
{
	char path[160];
	char *text = calloc(1, 65536);

	snprintf(path, sizeof(path), "%s/%s", folder->keys, name);
	FILE *file = fopen(path, "r");
	if (!file)
		fail_msg("no %s", path);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void write_text(const struct folder *folder, const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", folder->keys, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	fclose(file);
}

static mode_t mode_of(const struct folder *folder, const char *name)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder->keys, name);
	if (stat(path, &st) != 0)
		fail_msg("no %s", path);
	return st.st_mode & 07777;
}

static void init_makes_everything_private_and_usable(void **state)
{
	const struct folder *folder = *state;
	char name[64];
	struct error err = {0};

	init(folder);
	assert_int_equal(mode_of(folder, ""), 0700);
	assert_int_equal(mode_of(folder, "curve"), 0700);
	assert_int_equal(mode_of(folder, "redis"), 0700);
	assert_int_equal(mode_of(folder, "redis/users.acl"), 0600);
	assert_int_equal(mode_of(folder, "jwt.keys"), 0600);
	assert_int_equal(mode_of(folder, "vault.key"), 0600);
	for (size_t i = 0; i < NROLES; i++) {
		snprintf(name, sizeof(name), "curve/%s.key", roles[i]);
		assert_int_equal(mode_of(folder, name), 0600);
		snprintf(name, sizeof(name), "redis/%s.password", roles[i]);
		assert_int_equal(mode_of(folder, name), 0600);
		struct keyring *keyring = keyring_open(folder->keys, roles[i], &err);
		if (!keyring)
			fail_msg("%s", err.text);
		assert_int_equal(
		    keyring_roles_z85(keyring, keyring_own_public(keyring)), role_parse(roles[i]));
		keyring_destroy(&keyring);
	}
	struct keyring *operator= keyring_open(folder->keys, "operator", &err);
	assert_non_null(operator);
	assert_int_equal(keyring_roles_z85(operator, keyring_own_public(operator)),
	    ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE | ROLE_OPERATOR_VAULT);
	keyring_destroy(&operator);
}

static const char *const made[] = {"curve/router.key", "curve/auth.key", "curve/session.key",
    "curve/chain-oracle.key", "curve/secret-vault.key", "curve/sandbox.key",
    "curve/llm-gateway.key", "curve/agent-wallet.key", "curve/operator.key", "curve/peers",
    "redis/router.password", "redis/auth.password", "redis/session.password",
    "redis/chain-oracle.password", "redis/secret-vault.password", "redis/sandbox.password",
    "redis/llm-gateway.password", "redis/agent-wallet.password", "redis/replica.password",
    "redis/sentinel.password", "redis/users.acl", "redis/replica.conf", "redis/sentinel.conf",
    "jwt.keys", "vault.key"};

static size_t files_below(const char *path)
{
	scoped_free char *below = NULL;
	size_t n = 0;
	DIR *dir = opendir(path);

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		assert_true(asprintf(&below, "%s/%s", path, entry->d_name) > 0);
		n += entry->d_type == DT_DIR ? files_below(below) : 1;
		free(below);
		below = NULL;
	}
	closedir(dir);
	return n;
}

static void init_again_changes_nothing_and_leaves_nothing_behind(void **state)
{
	const struct folder *folder = *state;
	char *before[ARRAY_LEN(made)];

	init(folder);
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		before[i] = text_of(folder, made[i]);
	init(folder);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		scoped_free char *after = text_of(folder, made[i]);
		assert_string_equal(before[i], after);
		free(before[i]);
	}
	assert_int_equal(files_below(folder->keys), ARRAY_LEN(made));
}

static void init_goes_on_where_it_was_interrupted(void **state)
{
	const struct folder *folder = *state;
	char path[160];

	init(folder);
	scoped_free char *before = text_of(folder, "curve/auth.key");
	snprintf(path, sizeof(path), "%s/curve/peers", folder->keys);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/curve/session.key", folder->keys);
	assert_int_equal(unlink(path), 0);
	init(folder);
	scoped_free char *after = text_of(folder, "curve/auth.key");
	assert_string_equal(before, after);
	scoped_free char *peers = text_of(folder, "curve/peers");
	assert_non_null(strstr(peers, "\nsession "));
}

static void init_refuses_a_secret_that_a_list_would_not_know(void **state)
{
	const struct folder *folder = *state;
	static const char *const missing[] = {"curve/auth.key", "redis/session.password"};
	char path[160];

	init(folder);
	for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
		struct error err = {0};
		snprintf(path, sizeof(path), "%s/%s", folder->keys, missing[i]);
		scoped_free char *text = text_of(folder, missing[i]);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(keys_init(folder->keys, &err), -1);
		assert_int_equal(err.code, ERR_CONFLICT);
		assert_int_equal(access(path, F_OK), -1);
		write_text(folder, missing[i], text);
	}
	init(folder);
}

/* These hold nothing but what follows from the passwords. */
static void init_makes_what_redis_and_sentinels_show_anew_with_their_passwords(void **state)
{
	const struct folder *folder = *state;
	static const char other[] =
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	char path[160];

	init(folder);
	write_text(folder, "redis/sentinel.password", other);
	write_text(folder, "redis/replica.password", other);
	snprintf(path, sizeof(path), "%s/redis/users.acl", folder->keys);
	assert_int_equal(unlink(path), 0);
	init(folder);
	scoped_free char *replica = text_of(folder, "redis/replica.conf");
	scoped_free char *sentinel = text_of(folder, "redis/sentinel.conf");
	assert_non_null(strstr(replica, other));
	assert_non_null(strstr(sentinel, other));
	assert_int_equal(mode_of(folder, "redis/replica.conf"), 0600);
	assert_int_equal(mode_of(folder, "redis/sentinel.conf"), 0600);
	for (size_t i = 0; i < NROLES; i++) {
		snprintf(path, sizeof(path), "\nuser %s on #", roles[i]);
		assert_non_null(strstr(sentinel, path));
	}
}

static void init_says_what_to_do_with_a_folder_of_an_older_version(void **state)
{
	const struct folder *folder = *state;
	static const char *const lists[] = {"curve/peers", "redis/users.acl"};
	static const char *const newer[] = {"curve/secret-vault.key", "curve/sandbox.key",
	    "redis/secret-vault.password", "redis/sandbox.password", "redis/agent-wallet.password",
	    "vault.key"};
	struct error err = {0};
	char path[160];

	init(folder);
	for (size_t i = 0; i < ARRAY_LEN(newer); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder->keys, newer[i]);
		assert_int_equal(unlink(path), 0);
	}
	scoped_free char *before = text_of(folder, "curve/router.key");
	assert_int_equal(keys_init(folder->keys, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	/* all of it fits */
	assert_non_null(strstr(err.text, "of your own back"));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		assert_non_null(strstr(err.text, lists[i]));
		snprintf(path, sizeof(path), "%s/%s", folder->keys, lists[i]);
		assert_int_equal(unlink(path), 0);
	}
	init(folder);
	scoped_free char *after = text_of(folder, "curve/router.key");
	assert_string_equal(before, after);
	scoped_free char *peers = text_of(folder, "curve/peers");
	assert_non_null(strstr(peers, "\nsecret-vault "));
	assert_non_null(strstr(peers, "\nsandbox "));
	scoped_free char *users = text_of(folder, "redis/users.acl");
	assert_non_null(strstr(users, "\nuser secret-vault on "));
}

/* No role is new, but one may do more: the list of users was made before that. */
static void init_says_that_the_list_of_users_is_of_an_older_version(void **state)
{
	const struct folder *folder = *state;
	static const char *const newer[] = {" (%R~mc:place:* +get)",
	    " (%RW~mc:place:* +setnx +get)", " (%RW~mc:place:* +get +set)", "%RW~mc:ticket:*",
	    "user sandbox "};
	struct error err = {0};

	init(folder);
	scoped_free char *users = text_of(folder, "redis/users.acl");
	for (size_t i = 0; i < ARRAY_LEN(newer); i++) {
		scoped_free char *older = strdup(users);
		char *at = strstr(older, newer[i]);
		assert_non_null(at);
		memset(at, 'x', strlen(newer[i]));
		write_text(folder, "redis/users.acl", older);
		assert_int_equal(keys_init(folder->keys, &err), -1);
		assert_int_equal(err.code, ERR_CONFLICT);
		assert_non_null(strstr(err.text, "redis/users.acl"));
		assert_non_null(strstr(err.text, "of your own back"));
	}
	/* lines of one's own are no matter */
	scoped_free char *more = NULL;
	assert_true(asprintf(&more, "%suser me on nopass ~* +@all\n", users) > 0);
	write_text(folder, "redis/users.acl", more);
	init(folder);
}

static void the_vaults_key_is_32_random_bytes_in_base64(void **state)
{
	const struct folder *folder = *state;
	uint8_t key[64];
	size_t len = 0;

	init(folder);
	scoped_free char *text = text_of(folder, "vault.key");
	assert_int_equal(strlen(text), 45);
	assert_int_equal(text[44], '\n');
	assert_int_equal(sodium_base642bin(key, sizeof(key), text, 44, NULL, &len, NULL,
			     sodium_base64_VARIANT_ORIGINAL),
	    0);
	assert_int_equal(len, 32);
}

static void the_next_key_takes_the_keys_place(void **state)
{
	const struct folder *folder = *state;
	struct error err = {0};
	char path[160], next[200];

	init(folder);
	snprintf(path, sizeof(path), "%s/vault.key", folder->keys);
	assert_non_null(vault_key_next(path, next, sizeof(next), &err));
	assert_int_equal(vault_key_create(path, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(vault_key_create(next, &err), 0);
	scoped_free char *old = text_of(folder, "vault.key");
	scoped_free char *new = text_of(folder, "vault.key.next");
	assert_string_not_equal(old, new);
	assert_int_equal(vault_key_promote(path, &err), 0);
	scoped_free char *now = text_of(folder, "vault.key");
	assert_string_equal(new, now);
	assert_int_equal(access(next, F_OK), -1);
	/* after a crash behind the rename it is done once more */
	assert_int_equal(vault_key_promote(path, &err), 0);
}

static void init_says_why_it_cannot(void **state)
{
	const struct folder *folder = *state;
	char path[160];
	struct error err = {0};

	snprintf(path, sizeof(path), "%s/not/there", folder->dir);
	assert_int_equal(keys_init(path, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "No such file"));
}

/* ---- jwt.keys ---- */

struct jwt_line {
	char kid[64], key[128];
	unsigned long long not_before, not_after;
};

static size_t jwt_lines(const struct folder *folder, struct jwt_line *lines, size_t max)
{
	scoped_free char *text = text_of(folder, "jwt.keys");
	size_t n = 0;
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n"));) {
		if (line[0] == '#' || line[0] == '\0')
			continue;
		assert_true(n < max);
		char *word = NULL;
		snprintf(lines[n].kid, sizeof(lines[n].kid), "%s", strtok_r(line, " ", &word));
		lines[n].not_before = strtoull(strtok_r(NULL, " ", &word), NULL, 10);
		lines[n].not_after = strtoull(strtok_r(NULL, " ", &word), NULL, 10);
		snprintf(lines[n].key, sizeof(lines[n].key), "%s", strtok_r(NULL, " ", &word));
		n++;
	}
	return n;
}

static void the_first_signing_key_is_good_at_once(void **state)
{
	const struct folder *folder = *state;
	struct jwt_line line;
	uint8_t key[64];
	size_t len = 0;

	clock_fake(NOW_S * 1000ULL, 1000);
	init(folder);
	assert_int_equal(jwt_lines(folder, &line, 1), 1);
	assert_int_equal(line.not_before, NOW_S);
	assert_true(line.not_after > NOW_S + 3650ULL * 86400);
	assert_int_equal(sodium_base642bin(key, sizeof(key), line.key, strlen(line.key), NULL, &len,
			     NULL, sodium_base64_VARIANT_ORIGINAL),
	    0);
	assert_int_equal(len, 32);
}

static void rotation_overlaps(void **state)
{
	const struct folder *folder = *state;
	struct jwt_line first[1], lines[3];
	struct error err = {0};

	clock_fake(NOW_S * 1000ULL, 1000);
	init(folder);
	assert_int_equal(jwt_lines(folder, first, 1), 1);
	clock_fake((NOW_S + 1000) * 1000ULL, 1000);
	assert_int_equal(keys_rotate(folder->keys, &err), 0);
	assert_int_equal(jwt_lines(folder, lines, 3), 2);
	assert_string_equal(lines[0].kid, first[0].kid);
	assert_string_equal(lines[0].key, first[0].key);
	assert_int_equal(lines[0].not_after, NOW_S + 1000 + 60 + 7 * 86400 + 3600);
	assert_int_equal(lines[1].not_before, NOW_S + 1060);
	assert_string_not_equal(lines[0].key, lines[1].key);
	assert_int_equal(mode_of(folder, "jwt.keys"), 0600);
	/* a second one leaves the first key's end alone, and a key that has ended goes */
	clock_fake((NOW_S + 2000) * 1000ULL, 1000);
	assert_int_equal(keys_rotate(folder->keys, &err), 0);
	assert_int_equal(jwt_lines(folder, lines, 3), 3);
	assert_int_equal(lines[0].not_after, NOW_S + 1000 + 60 + 7 * 86400 + 3600);
	clock_fake((NOW_S + 2000 + 8 * 86400) * 1000ULL, 1000);
	assert_int_equal(keys_rotate(folder->keys, &err), 0);
	assert_int_equal(jwt_lines(folder, lines, 3), 2);
}

static void retiring_removes_the_key_but_never_the_last(void **state)
{
	const struct folder *folder = *state;
	struct jwt_line lines[2], left[1];
	struct error err = {0};

	init(folder);
	assert_int_equal(jwt_lines(folder, lines, 1), 1);
	assert_int_equal(keys_retire(folder->keys, lines[0].kid, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(keys_rotate(folder->keys, &err), 0);
	assert_int_equal(keys_retire(folder->keys, "nobody", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(jwt_lines(folder, lines, 2), 2);
	assert_int_equal(keys_retire(folder->keys, lines[0].kid, &err), 0);
	assert_int_equal(jwt_lines(folder, left, 1), 1);
	assert_string_equal(left[0].kid, lines[1].kid);
}

static void a_broken_file_is_left_alone(void **state)
{
	const struct folder *folder = *state;
	static const char broken[] = "# mine\nkid 1 2\n";
	struct error err = {0};

	init(folder);
	write_text(folder, "jwt.keys", broken);
	assert_int_equal(keys_rotate(folder->keys, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(keys_retire(folder->keys, "kid", &err), -1);
	scoped_free char *text = text_of(folder, "jwt.keys");
	assert_string_equal(text, broken);
}

static void comments_survive_a_rotation(void **state)
{
	const struct folder *folder = *state;
	struct error err = {0};

	init(folder);
	assert_int_equal(keys_rotate(folder->keys, &err), 0);
	scoped_free char *text = text_of(folder, "jwt.keys");
	assert_int_equal(text[0], '#');
}

/* ---- redis ---- */

struct guarded {
	struct folder *folder;
	struct redis_fixture redis;
	char acl[128];
	redisContext *client[NROLES];
	char script[65536];
};

static redisContext *connect_as(const struct guarded *guarded, const char *role)
{
	char name[64];
	uint64_t until = fixture_now_ms() + 10000;
	redisContext *client = redisConnectUnix(guarded->redis.path);

	while (!client || client->err) {
		assert_true(fixture_now_ms() < until);
		redisFree(client);
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		client = redisConnectUnix(guarded->redis.path);
	}
	snprintf(name, sizeof(name), "redis/%s.password", role);
	scoped_free char *password = text_of(guarded->folder, name);
	password[strcspn(password, "\n")] = '\0';
	assert_int_equal(strlen(password), 64);
	redisReply *reply = redisCommand(client, "AUTH %s %s", role, password);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", role, reply->str);
	freeReplyObject(reply);
	return client;
}

static void redis_up(struct guarded *guarded)
{
	guarded->redis.pid = fork();
	assert_true(guarded->redis.pid >= 0);
	if (guarded->redis.pid == 0)
		fixture_exec(&guarded->redis);
	for (size_t i = 0; i < NROLES; i++)
		guarded->client[i] = connect_as(guarded, roles[i]);
}

static void redis_down(struct guarded *guarded)
{
	for (size_t i = 0; i < NROLES; i++)
		redisFree(guarded->client[i]);
	fixture_kill(&guarded->redis);
}

static void read_script(char *script, size_t size)
{
	FILE *file = fopen("common/ledger.lua", "r");

	if (!file)
		fail_msg("run it from the project's root");
	assert_in_range(fread(script, 1, size - 1, file), 1, size - 2);
	fclose(file);
}

static int open_redis(void **state)
{
	struct guarded *guarded = calloc(1, sizeof(*guarded));
	void *folder = NULL;

	open_folder(&folder);
	guarded->folder = folder;
	init(guarded->folder);
	read_script(guarded->script, sizeof(guarded->script));
	snprintf(guarded->acl, sizeof(guarded->acl), "%s/redis/users.acl", guarded->folder->keys);
	snprintf(guarded->redis.dir, sizeof(guarded->redis.dir), "%s", guarded->folder->dir);
	snprintf(guarded->redis.path, sizeof(guarded->redis.path), "%s/redis.sock",
	    guarded->folder->dir);
	guarded->redis.extra[0] = "--aclfile";
	guarded->redis.extra[1] = guarded->acl;
	redis_up(guarded);
	*state = guarded;
	return 0;
}

static int close_redis(void **state)
{
	struct guarded *guarded = *state;
	void *folder = guarded->folder;

	redis_down(guarded);
	close_folder(&folder);
	free(guarded);
	return 0;
}

static redisReply *ask(const struct guarded *guarded, int role, const char *line)
{
	redisReply *reply = redisCommand(guarded->client[role], line);

	assert_non_null(reply);
	return reply;
}

static void assert_forbidden(const struct guarded *guarded, int role, const char *line)
{
	redisReply *reply = ask(guarded, role, line);

	if (reply->type != REDIS_REPLY_ERROR || !strstr(reply->str, "NOPERM"))
		fail_msg("%s may: %s (%s)", roles[role], line, reply->str ? reply->str : "");
	freeReplyObject(reply);
}

static void assert_allowed(const struct guarded *guarded, int role, const char *line)
{
	redisReply *reply = ask(guarded, role, line);

	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s may not: %s (%s)", roles[role], line, reply->str);
	freeReplyObject(reply);
}

/* One operation of the ledger; words are separated by spaces, '-' is an empty one. Caller frees. */
static redisReply *run(const struct guarded *guarded, int role, const char *operation)
{
	const char *argv[32] = {"EVAL", guarded->script, "0"};
	int argc = 3;
	char copy[512];
	char *rest = copy;

	snprintf(copy, sizeof(copy), "%s", operation);
	for (char *word; (word = strsep(&rest, " "));)
		argv[argc++] = strcmp(word, "-") == 0 ? "" : word;
	redisReply *reply = redisCommandArgv(guarded->client[role], argc, argv, NULL);
	assert_non_null(reply);
	return reply;
}

static void assert_runs(const struct guarded *guarded, int role, const char *operation)
{
	redisReply *reply = run(guarded, role, operation);

	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s cannot %s: %s", roles[role], operation, reply->str);
	freeReplyObject(reply);
}

static void assert_does_not_run(const struct guarded *guarded, int role, const char *operation)
{
	redisReply *reply = run(guarded, role, operation);

	/* inside a script, Redis 7.0 words it differently */
	if (reply->type != REDIS_REPLY_ERROR ||
	    !(strstr(reply->str, "NOPERM") ||
		strstr(reply->str, "The user executing the script can't")))
		fail_msg("%s can %s: %s", roles[role], operation, reply->str ? reply->str : "");
	freeReplyObject(reply);
}

#define SLOT "00000000000000000500"
#define LATER "00000000000000000600"
#define JTI "0123456789abcdef0123456789abcdef"

static void history_of(const struct guarded *guarded, char history[64])
{
	redisReply *reply = run(guarded, SESSION, "announce key");

	assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
	snprintf(history, 64, "%s", reply->element[0]->str);
	freeReplyObject(reply);
}

/* Signs somebody in, as the suite would. */
static void sign_in(const struct guarded *guarded)
{
	char mint[512], history[64];
	bool good = false;
	uint64_t until = fixture_now_ms() + 8000;

	assert_runs(guarded, ORACLE, "chain " SLOT " 0 genesis");
	assert_runs(guarded, ORACLE, "observe asset wallet " SLOT " 1");
	history_of(guarded, history);
	snprintf(mint, sizeof(mint),
	    "mint asset wallet " SLOT " %s " JTI " 1 99999999999999 console name ip agent kid -",
	    history);
	while (!good && fixture_now_ms() < until) {
		redisReply *reply = run(guarded, SESSION, mint);
		if (reply->type == REDIS_REPLY_ERROR)
			fail_msg("mint: %s", reply->str);
		good = strcmp(reply->element[1]->str, "good") == 0;
		assert_true(good || strcmp(reply->element[1]->str, "settling") == 0);
		freeReplyObject(reply);
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	assert_true(good);
}

static void open_child(const struct guarded *guarded, int number)
{
	char operation[256], history[64];

	history_of(guarded, history);
	snprintf(operation, sizeof(operation), "mint_child " JTI " %s %032d 1 agent:x ip agent kid",
	    history, number);
	redisReply *reply = run(guarded, SESSION, operation);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("mint_child: %s", reply->str);
	assert_string_equal(reply->element[1]->str, "good");
	freeReplyObject(reply);
}

static void every_role_can_do_its_own_work(void **state)
{
	const struct guarded *guarded = *state;

	for (int role = 0; role < NROLES; role++) {
		assert_runs(guarded, role, "follow replica-1 role - - - -");
		assert_runs(guarded, role, "follow replica-1 role h 0-0 5-0 h");
		assert_runs(guarded, role, "follow replica-1 role h 0-0 - -");
		assert_allowed(guarded, role, "PING");
		assert_allowed(guarded, role, "INFO memory");
	}
	assert_runs(guarded, AUTH, "limit challenge wallet 10 5");
	assert_runs(guarded, VAULT, "limit put asset 10 5");
	assert_runs(guarded, WALLET, "limit wallet asset 10 5");
	assert_runs(guarded, WALLET, "limit wallet_build asset 10 5");
	assert_runs(guarded, WALLET, "owner asset");
	assert_runs(guarded, AUTH, "issue nonce text challenge wallet 10 5");
	assert_runs(guarded, AUTH, "take nonce");
	assert_runs(guarded, AUTH, "take nonce");
	sign_in(guarded);
	assert_runs(guarded, SESSION, "look " JTI);
	assert_runs(guarded, SESSION, "list asset");
	assert_runs(guarded, SESSION, "ban wallet 1");
	assert_runs(guarded, SESSION, "look " JTI);
	assert_runs(guarded, SESSION, "ban wallet 0");
	for (int i = 0; i < 20; i++)
		open_child(guarded, i);
	assert_runs(guarded, SESSION, "ticket hash value opening asset 10 5");
	assert_runs(guarded, SESSION, "redeem hash");
	assert_runs(guarded, SESSION, "end asset 00000000000000000000000000000019 logout");
	assert_runs(guarded, SANDBOX, "hold asset sandbox:one");
	assert_runs(guarded, SANDBOX, "owner asset");
	assert_runs(guarded, SANDBOX, "place asset one 1");
	assert_runs(guarded, ROUTER, "place asset - 0");
	assert_runs(guarded, SESSION, "place asset - 0");
	assert_runs(guarded, SESSION, "move asset one two");
	assert_runs(guarded, SANDBOX, "release asset sandbox:one");
	assert_runs(guarded, SANDBOX, "announce agent asset");
	assert_runs(guarded, ORACLE, "observe asset other " LATER " 0");
	assert_runs(guarded, ORACLE, "observe asset third " SLOT " 0");
	assert_runs(guarded, ORACLE, "forget asset");
	assert_runs(guarded, ORACLE, "reset asset");
	assert_allowed(guarded, ORACLE, "SSCAN mc:assets 0 COUNT 10");
	assert_runs(guarded, SESSION, "end asset " JTI " logout");
	assert_runs(guarded, SESSION, "end_all asset revoked");
	assert_runs(guarded, SESSION, "end_everything");
	assert_runs(guarded, ORACLE, "forget asset");
}

static void a_mint_over_the_limit_of_an_asset_is_allowed_too(void **state)
{
	const struct guarded *guarded = *state;
	char mint[512], history[64];

	sign_in(guarded);
	history_of(guarded, history);
	for (int i = 0; i < 70; i++) {
		snprintf(mint, sizeof(mint),
		    "mint asset wallet " SLOT
		    " %s %032d %d 9999999999%04d console name ip agent kid " JTI,
		    history, i, i, i);
		assert_runs(guarded, SESSION, mint);
	}
}

static void no_role_can_do_another_ones_work(void **state)
{
	const struct guarded *guarded = *state;
	char history[64], mint[512];
	static const struct {
		unsigned owners;
		const char *operation;
	} operations[] = {
	    {1 << AUTH | 1 << VAULT, "limit challenge wallet 10 5"},
	    {1 << AUTH | 1 << VAULT | 1 << SESSION, "limit opening asset 10 5"},
	    {1 << SESSION, "ticket hash text"},
	    {1 << SESSION, "redeem hash"},
	    {1 << SANDBOX, "place asset one 1"},
	    {1 << SANDBOX | 1 << ROUTER | 1 << SESSION | 1 << VAULT | 1 << WALLET,
		"place asset - 0"},
	    {1 << SESSION, "move asset one two"},
	    {0, "unplace asset one"},
	    {1 << SANDBOX | 1 << VAULT, "hold asset one"},
	    {1 << SANDBOX | 1 << VAULT, "release asset one"},
	    {1 << AUTH, "issue nonce text"},
	    {1 << AUTH, "take nonce"},
	    {1 << SESSION, "look " JTI},
	    {1 << SESSION, "list asset"},
	    {1 << SESSION, "end asset " JTI " logout"},
	    {1 << SESSION, "end_all asset revoked"},
	    {1 << SESSION, "ban wallet 1"},
	    {1 << ORACLE, "observe asset thief " LATER " 1"},
	    {1 << ORACLE, "chain " LATER " 0 genesis"},
	    {1 << ORACLE, "forget asset"},
	    {1 << ORACLE, "reset asset"},
	};

	sign_in(guarded);
	assert_runs(guarded, SANDBOX, "place asset one 1");
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		for (int role = 0; role < NROLES; role++)
			if (!(operations[i].owners & 1U << role))
				assert_does_not_run(guarded, role, operations[i].operation);
	history_of(guarded, history);
	snprintf(mint, sizeof(mint),
	    "mint asset wallet " SLOT
	    " %s ffffffffffffffffffffffffffffffff 1 99999999999999 console name ip agent kid -",
	    history);
	for (int role = 0; role < NROLES; role++)
		if (role != SESSION)
			assert_does_not_run(guarded, role, mint);
	/* and the session is still good */
	redisReply *reply = run(guarded, SESSION, "look " JTI);
	assert_string_equal(reply->element[2]->str, "good");
	freeReplyObject(reply);
}

static void no_role_can_write_what_is_not_its_own(void **state)
{
	const struct guarded *guarded = *state;
	static const struct {
		unsigned writers;
		const char *line;
	} writes[] = {
	    {1 << AUTH | 1 << VAULT, "HSET mc:rate:a:b left 1"},
	    {1 << SESSION, "HSET mc:session:x asset a"},
	    {1 << SESSION, "HSET mc:sessions:x asset a"},
	    {1 << ORACLE, "HSET mc:owner:x owner thief"},
	    {1 << ORACLE, "HSET mc:chain slot 1"},
	    {0, "HSET mc:ticket:x a b"},
	    {0, "HSET elsewhere a b"},
	    {1 << AUTH, "SET mc:nonce:x y"},
	    {1 << SESSION, "SET mc:banned:x y"},
	    {1 << SESSION, "SET mc:ended:x y"},
	    {0, "SET mc:owner:x y"},
	    {1 << ORACLE, "SADD mc:assets x"},
	    {1 << VAULT | 1 << SANDBOX, "SADD mc:held:x vault"},
	    {1 << VAULT | 1 << SANDBOX, "SREM mc:held:x vault"},
	    {1 << SESSION, "SET mc:ticket:x y"},
	    {1 << SESSION, "GETDEL mc:ticket:x"},
	    {0, "DEL mc:ticket:x"},
	    {1 << SESSION, "ZADD mc:children:x 1 y"},
	    {1 << SANDBOX, "SETNX mc:place:x y"},
	    {1 << SESSION, "SET mc:place:x y"},
	    {1 << SANDBOX | 1 << ROUTER | 1 << SESSION | 1 << VAULT | 1 << WALLET,
		"GET mc:place:x"},
	    {1 << WALLET, "HSET mc:wallet:op:x state sent"},
	    {1 << WALLET, "DEL mc:wallet:op:x"},
	    {1 << WALLET, "ZADD mc:wallet:due 1 x"},
	    {1 << AUTH | 1 << VAULT | 1 << WALLET, "HSET mc:rate:wallet:x left 1"},
	    {0, "DEL mc:place:x"},
	    {0, "DEL mc:held:x"},
	    {1 << ORACLE, "DEL mc:owner:x"},
	    {1 << SESSION, "DEL mc:session:x"},
	    {0, "DEL mc:history"},
	    {0, "DEL mc:events"},
	    {0, "SET mc:history y"},
	    {0, "SET mc:events y"},
	    {0, "DEL mc:chain"},
	    {0, "DEL mc:nonce:x"},
	    {1 << AUTH, "GETDEL mc:nonce:x"},
	    {1 << SESSION, "ZADD mc:sessions:y 1 x"},
	};
	char script[256];

	for (size_t i = 0; i < ARRAY_LEN(writes); i++)
		for (int role = 0; role < NROLES; role++)
			if (!(writes[i].writers & 1U << role))
				assert_forbidden(guarded, role, writes[i].line);
	/* a script of its own is no way around */
	for (int role = 0; role < NROLES; role++) {
		redisReply *reply;
		if (role != ORACLE) {
			snprintf(script, sizeof(script),
			    "return redis.call('HSET','mc:owner:x','owner','thief')");
			reply = redisCommand(guarded->client[role], "EVAL %s 0", script);
			assert_int_equal(reply->type, REDIS_REPLY_ERROR);
			freeReplyObject(reply);
			reply = redisCommand(guarded->client[role], "EVAL %s 1 mc:owner:x", script);
			assert_int_equal(reply->type, REDIS_REPLY_ERROR);
			freeReplyObject(reply);
		}
		reply = redisCommand(
		    guarded->client[role], "EVAL %s 0", "return redis.call('FLUSHALL')");
		assert_int_equal(reply->type, REDIS_REPLY_ERROR);
		freeReplyObject(reply);
	}
}

static void no_role_can_read_the_others_secrets(void **state)
{
	const struct guarded *guarded = *state;

	assert_forbidden(guarded, ROUTER, "HMGET mc:session:x asset");
	assert_forbidden(guarded, AUTH, "HMGET mc:session:x asset");
	assert_forbidden(guarded, ORACLE, "HMGET mc:session:x asset");
	assert_forbidden(guarded, ROUTER, "HMGET mc:owner:x owner");
	assert_forbidden(guarded, AUTH, "HMGET mc:owner:x owner");
	assert_forbidden(guarded, ROUTER, "HMGET mc:rate:x left");
	assert_forbidden(guarded, SESSION, "HMGET mc:rate:x left");
	assert_forbidden(guarded, VAULT, "HMGET mc:session:x asset");
	assert_forbidden(guarded, VAULT, "GETDEL mc:nonce:x");
	assert_forbidden(guarded, SANDBOX, "GETDEL mc:ticket:x");
	assert_forbidden(guarded, ROUTER, "GETDEL mc:ticket:x");
	assert_forbidden(guarded, SANDBOX, "HMGET mc:session:x asset");
	assert_forbidden(guarded, WALLET, "HMGET mc:session:x asset");
	assert_forbidden(guarded, SANDBOX, "HMGET mc:wallet:op:x sent");
	assert_forbidden(guarded, ROUTER, "HMGET mc:wallet:op:x sent");
}

static void no_role_can_administer_redis(void **state)
{
	const struct guarded *guarded = *state;
	static const char *const lines[] = {"KEYS *", "SCAN 0", "CONFIG GET *",
	    "CONFIG SET maxmemory 1", "FLUSHALL", "FLUSHDB", "SHUTDOWN NOSAVE", "ACL LIST",
	    "ACL WHOAMI", "SAVE", "BGREWRITEAOF", "REPLICAOF 127.0.0.1 1", "MONITOR",
	    "SCRIPT FLUSH", "SCRIPT LOAD x", "SCRIPT KILL", "FUNCTION LIST", "MIGRATE h 1 k 0 1",
	    "MODULE LIST", "CLIENT LIST", "CLIENT KILL ID 1", "SUBSCRIBE c", "PUBLISH c m",
	    "SWAPDB 0 1", "SELECT 0", "RENAME mc:events x", "RANDOMKEY", "DBSIZE",
	    "XTRIM mc:events MAXLEN 0", "XDEL mc:events 1-1", "XSETID mc:events 1-1", "MULTI",
	    "WATCH mc:history", "LATENCY RESET", "SLOWLOG GET", "OBJECT ENCODING mc:history"};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		for (int role = 0; role < NROLES; role++)
			assert_forbidden(guarded, role, lines[i]);
}

static void nobody_gets_in_without_a_password(void **state)
{
	const struct guarded *guarded = *state;
	redisContext *client = redisConnectUnix(guarded->redis.path);
	static const char *const lines[] = {
	    "PING", "GET mc:history", "AUTH default x", "AUTH x", "AUTH router wrong", "HELLO 3"};

	assert_non_null(client);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		redisReply *reply = redisCommand(client, lines[i]);
		assert_non_null(reply);
		assert_int_equal(reply->type, REDIS_REPLY_ERROR);
		freeReplyObject(reply);
	}
	redisFree(client);
}

static void a_session_survives_the_death_of_redis(void **state)
{
	struct guarded *guarded = *state;

	sign_in(guarded);
	redis_down(guarded);
	redis_up(guarded);
	redisReply *reply = run(guarded, SESSION, "look " JTI);
	assert_string_equal(reply->element[2]->str, "good");
	freeReplyObject(reply);
}

int main(void)
{
#define FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)
#define REDIS(test) cmocka_unit_test_setup_teardown(test, open_redis, close_redis)
	const struct CMUnitTest tests[] = {
	    FOLDER(init_makes_everything_private_and_usable),
	    FOLDER(init_again_changes_nothing_and_leaves_nothing_behind),
	    FOLDER(init_goes_on_where_it_was_interrupted),
	    FOLDER(init_refuses_a_secret_that_a_list_would_not_know),
	    FOLDER(init_makes_what_redis_and_sentinels_show_anew_with_their_passwords),
	    FOLDER(init_says_what_to_do_with_a_folder_of_an_older_version),
	    FOLDER(init_says_that_the_list_of_users_is_of_an_older_version),
	    FOLDER(the_vaults_key_is_32_random_bytes_in_base64),
	    FOLDER(the_next_key_takes_the_keys_place),
	    FOLDER(init_says_why_it_cannot),
	    FOLDER(the_first_signing_key_is_good_at_once),
	    FOLDER(rotation_overlaps),
	    FOLDER(retiring_removes_the_key_but_never_the_last),
	    FOLDER(a_broken_file_is_left_alone),
	    FOLDER(comments_survive_a_rotation),
	    REDIS(every_role_can_do_its_own_work),
	    REDIS(a_mint_over_the_limit_of_an_asset_is_allowed_too),
	    REDIS(no_role_can_do_another_ones_work),
	    REDIS(no_role_can_write_what_is_not_its_own),
	    REDIS(no_role_can_read_the_others_secrets),
	    REDIS(no_role_can_administer_redis),
	    REDIS(nobody_gets_in_without_a_password),
	    REDIS(a_session_survives_the_death_of_redis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
