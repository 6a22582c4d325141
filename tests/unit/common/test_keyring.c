#include "tests/unit/common/bus_world.h"

#include <fcntl.h>

static int open_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world_open(world);
	*state = world;
	return 0;
}

static int close_world(void **state)
{
	world_close(*state);
	free(*state);
	return 0;
}

static struct keyring *open_router(const struct world *world)
{
	struct error err = {0};
	struct keyring *keyring = keyring_open(world->folder, "router", &err);

	if (!keyring)
		fail_msg("%s", err.text);
	return keyring;
}

static void knows_who_a_key_belongs_to(void **state)
{
	const struct world *world = *state;
	struct keyring *keyring = open_router(world);
	uint8_t raw[32];

	assert_string_equal(keyring_own_public(keyring), world->public[ROUTER]);
	assert_string_equal(keyring_own_secret(keyring), world->secret[ROUTER]);
	assert_int_equal(keyring_roles_z85(keyring, world->public[ORACLE]), ROLE_ORACLE);
	assert_int_equal(keyring_roles_z85(keyring, world->public[OPERATOR]),
	    ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE);
	assert_non_null(zmq_z85_decode(raw, world->public[SESSION]));
	assert_int_equal(keyring_roles(keyring, raw), ROLE_SESSION);
	raw[31] ^= 1;
	assert_int_equal(keyring_roles(keyring, raw), 0);
	assert_int_equal(keyring_roles_z85(keyring, world->public[STRANGER]), 0);
	assert_int_equal(keyring_roles_z85(keyring, ""), 0);
	assert_string_equal(keyring_server_key(keyring, ROLE_AUTH), world->public[AUTH]);
	assert_null(keyring_server_key(keyring, ROLE_OPERATOR_READ));
	keyring_destroy(&keyring);
	assert_null(keyring);
}

static void takes_several_keys_of_a_role_in_turn(void **state)
{
	const struct world *world = *state;

	write_file(world->folder, "curve/peers", 0644,
	    "# old and new\nauth %s\n\n  auth\t%s \r\nrouter %s\n", world->public[STRANGER],
	    world -> public[AUTH], world -> public[ROUTER]);
	struct keyring *keyring = open_router(world);
	assert_string_equal(keyring_server_key_at(keyring, ROLE_AUTH, 0), world->public[STRANGER]);
	assert_string_equal(keyring_server_key_at(keyring, ROLE_AUTH, 1), world->public[AUTH]);
	assert_string_equal(keyring_server_key_at(keyring, ROLE_AUTH, 2), world->public[STRANGER]);
	assert_string_equal(keyring_server_key_at(keyring, ROLE_DAEMONS, 5), world->public[ROUTER]);
	assert_int_equal(keyring_roles_z85(keyring, world->public[STRANGER]), ROLE_AUTH);
	keyring_destroy(&keyring);
}

static void assert_refused(const struct world *world, enum error_code code, const char *part)
{
	struct error err = {0};

	assert_null(keyring_open(world->folder, "router", &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.text, part))
		fail_msg("'%s' is not in '%s'", part, err.text);
	/* what is wrong may be told, keys may not */
	assert_null(strstr(err.text, world->secret[ROUTER]));
}

static void refuses_a_key_file_that_others_can_read(void **state)
{
	const struct world *world = *state;

	write_file(world->folder, "curve/router.key", 0640, "public %s\nsecret %s\n",
	    world->public[ROUTER], world -> secret[ROUTER]);
	assert_refused(world, ERR_DENIED, "0640");
}

static void refuses_keys_that_are_missing_or_not_a_pair(void **state)
{
	const struct world *world = *state;

	write_file(world->folder, "curve/router.key", 0600, "public %s\nsecret %s\n",
	    world->public[AUTH], world -> secret[ROUTER]);
	assert_refused(world, ERR_INVALID, "not a pair");
	write_file(world->folder, "curve/router.key", 0600, "public %s\n", world->public[ROUTER]);
	assert_refused(world, ERR_INVALID, "needs a public and a secret line");
	write_file(world->folder, "curve/router.key", 0600, "public %.39s\nsecret %s\n",
	    world->public[ROUTER], world -> secret[ROUTER]);
	assert_refused(world, ERR_INVALID, "needs a public and a secret line");
	write_file(world->folder, "curve/router.key", 0600, "public %s\nsecret %.39s~\n",
	    world->public[ROUTER], world -> secret[ROUTER]);
	assert_refused(world, ERR_INVALID, "not a pair");
	write_file(world->folder, "curve/router.key", 0600, "x");
	assert_refused(world, ERR_INVALID, "needs a public and a secret line");
}

static void refuses_a_list_with_any_wrong_line(void **state)
{
	const struct world *world = *state;
	const char *good = world->public[AUTH];
	char doubled[128];
	snprintf(doubled, sizeof(doubled), "%s\nrouter %s", good, good);
	const struct {
		const char *role, *key, *why;
	} lines[] = {
	    {"auth", "short", "Z85"},
	    {"auth", "", "Z85"},
	    {"auth", "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~", "Z85"},
	    {"auth", "########################################",
		"Z85"}, /* beyond 32 bits a group */
	    {"nobody", good, "roles"},
	    {"auth+router", good, "roles"},
	    {"auth+operator-read", good, "roles"},
	    {"operator-read+", good, "roles"},
	    {"auth x", good, "more than"},
	    {"auth", doubled, "twice"},
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		write_file(world->folder, "curve/peers", 0644, "router %s\n%s %s\n",
		    world->public[ROUTER], lines[i].role, lines[i].key);
		assert_refused(world, ERR_INVALID, lines[i].why);
	}
}

static void refuses_a_list_that_others_can_write_or_that_is_no_file(void **state)
{
	const struct world *world = *state;
	char path[96];

	write_file(world->folder, "curve/peers", 0664, "router %s\n", world->public[ROUTER]);
	assert_refused(world, ERR_DENIED, "others may write");
	snprintf(path, sizeof(path), "%s/curve/peers", world->folder);
	assert_int_equal(unlink(path), 0);
	assert_refused(world, ERR_UNAVAILABLE, "No such file");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(world, ERR_INVALID, "regular");
}

static void refuses_a_list_that_is_too_long(void **state)
{
	const struct world *world = *state;
	char *text = calloc(1, 80 * 1024);
	char public[41], secret[41];

	for (int i = 0; i < 257; i++) {
		assert_int_equal(zmq_curve_keypair(public, secret), 0);
		snprintf(text + strlen(text), 80 * 1024 - strlen(text), "auth %s\n", public);
	}
	write_file(world->folder, "curve/peers", 0644, "%s", text);
	assert_refused(world, ERR_INVALID, "too many");
	memset(text, '#', 70 * 1024);
	text[70 * 1024] = '\0';
	write_file(world->folder, "curve/peers", 0644, "%s", text);
	assert_refused(world, ERR_INVALID, "too large");
	free(text);
}

static void follows_the_list_as_it_changes(void **state)
{
	const struct world *world = *state;
	struct keyring *keyring = open_router(world);

	assert_false(keyring_refresh(keyring));
	world_list(world, EVERYBODY | 1U << STRANGER);
	assert_true(keyring_refresh(keyring));
	assert_false(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[STRANGER]), ROLE_ROUTER);
	world_list(world, EVERYBODY & ~(1U << AUTH));
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[AUTH]), 0);
	assert_int_equal(keyring_roles_z85(keyring, world->public[STRANGER]), 0);
	keyring_destroy(&keyring);
}

static void a_list_gone_bad_empties_and_one_made_good_fills_again(void **state)
{
	const struct world *world = *state;
	struct keyring *keyring = open_router(world);
	char path[96];

	write_file(
	    world->folder, "curve/peers", 0644, "router %s\nrubbish\n", world->public[ROUTER]);
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[ROUTER]), 0);
	assert_false(keyring_refresh(keyring));
	world_list(world, EVERYBODY);
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[ROUTER]), ROLE_ROUTER);
	snprintf(path, sizeof(path), "%s/curve/peers", world->folder);
	assert_int_equal(unlink(path), 0);
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[ROUTER]), 0);
	world_list(world, EVERYBODY);
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[ROUTER]), ROLE_ROUTER);
	keyring_destroy(&keyring);
}

/* Written in place, same length, same time stamp: only reading it again tells. */
static void sees_a_change_within_the_resolution_of_time_stamps(void **state)
{
	const struct world *world = *state;
	struct keyring *keyring = open_router(world);
	char path[96];
	struct stat st;

	(void)keyring_refresh(keyring);
	snprintf(path, sizeof(path), "%s/curve/peers", world->folder);
	assert_int_equal(stat(path, &st), 0);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	fprintf(file, "router %s\n", world->public[STRANGER]);
	fclose(file);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_true(keyring_refresh(keyring));
	assert_int_equal(keyring_roles_z85(keyring, world->public[STRANGER]), ROLE_ROUTER);
	assert_int_equal(keyring_roles_z85(keyring, world->public[ROUTER]), 0);
	keyring_destroy(&keyring);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
	const struct CMUnitTest tests[] = {
	    WORLD(knows_who_a_key_belongs_to),
	    WORLD(takes_several_keys_of_a_role_in_turn),
	    WORLD(refuses_a_key_file_that_others_can_read),
	    WORLD(refuses_keys_that_are_missing_or_not_a_pair),
	    WORLD(refuses_a_list_with_any_wrong_line),
	    WORLD(refuses_a_list_that_others_can_write_or_that_is_no_file),
	    WORLD(refuses_a_list_that_is_too_long),
	    WORLD(follows_the_list_as_it_changes),
	    WORLD(a_list_gone_bad_empties_and_one_made_good_fills_again),
	    WORLD(sees_a_change_within_the_resolution_of_time_stamps),
	};

	log_open("test", "test-1", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
