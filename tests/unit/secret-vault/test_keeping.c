/* keep, hand_over and what a start is told of both: whose word counts, what is noted. */
#include "tests/unit/secret-vault/calls_world.h"

#include "services/secret-vault/eraser_work.h"
#include "services/secret-vault/snapshot.h"

/* ---- starts, and the calls of the hosts that they were on */

struct placed {
	const char *host;
	uint8_t bytes[256];
	size_t len;
};

/* The first page of a start on that host. */
static struct placed start(const char *host)
{
	struct placed placed = {.host = host};
	struct vault_grant_req grant = {.token = "t", .boot_id = BOOT};
	struct vault_materialise_req req = {.boot_id = BOOT};
	snprintf(grant.host_key, sizeof(grant.host_key), "%s", host);
	world.request = (struct bus_request){HOST, ROLE_ROUTER};
	world.message = &vault_grant_rsp_message;
	vault_grant(&world.vault, &grant, &world.request);
	assert_answered();
	req.grant.len = world.rsp.grant.grant.len;
	memcpy(req.grant.data, world.rsp.grant.grant.data, req.grant.len);
	world.request = (struct bus_request){host, ROLE_SANDBOX};
	world.message = &vault_materialise_rsp_message;
	vault_materialise(&world.vault, &req, &world.request);
	assert_answered();
	placed.len = world.rsp.materialise.placement.len;
	memcpy(placed.bytes, world.rsp.materialise.placement.data, placed.len);
	return placed;
}

static void keep(const struct placed *placed, uint64_t base, uint8_t digest)
{
	struct vault_keep_req req = {.placement.len = placed->len, .base = base};
	memcpy(req.placement.data, placed->bytes, placed->len);
	memset(req.digest.data, digest, VAULT_DIGEST_LEN);
	req.digest.len = VAULT_DIGEST_LEN;
	world.request = (struct bus_request){placed->host, ROLE_SANDBOX};
	world.answers = 0;
	world.message = &vault_keep_rsp_message;
	vault_keep(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

static void hand_over(const struct placed *placed, size_t key_len, size_t digest_len)
{
	struct vault_hand_over_req req = {.placement.len = placed->len};
	memcpy(req.placement.data, placed->bytes, placed->len);
	memset(req.key.data, 7, key_len);
	memset(req.digest.data, 8, digest_len);
	req.key.len = key_len;
	req.digest.len = digest_len;
	world.request = (struct bus_request){placed->host, ROLE_SANDBOX};
	world.answers = 0;
	world.message = &vault_hand_over_rsp_message;
	vault_hand_over(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

/* Somebody else is the owner now. */
static void sell_to(const char *wallet, uint64_t slot)
{
	snprintf(world.holding.wallet, sizeof(world.holding.wallet), "%s", wallet);
	world.holding.other_slot = slot - 1;
	world.holding.slot = slot;
}

/* Its sale is final. */
static void destroy(const char *wallet, uint64_t slot)
{
	struct period period = {.asset = ASSET, .slot = slot};
	struct store_period row;
	struct error err;
	snprintf(period.wallet, sizeof(period.wallet), "%s", wallet);
	assert_int_equal(db_begin(world.desk.db, true, &err), 0);
	assert_int_equal(store_period_find(world.desk.db, &period, &row, &err), 1);
	assert_int_equal(eraser_work(&world.desk, &row, "vault", "a test", &err), 0);
	assert_int_equal(db_commit(world.desk.db, &err), 0);
	assert_int_equal(highwater_commit(world.desk.highwater, &err), 0);
}

/* The details of an act in the owner's trail, one after the other. */
static const char *details(const char *act)
{
	static char text[1024];
	size_t len = 0;
	world.request = (struct bus_request){HOST, ROLE_ROUTER};
	ASK(audit, .token = "t", .after = 0);
	assert_answered();
	text[0] = '\0';
	for (size_t i = 0; i < world.rsp.audit.entries.len; i++) {
		const struct entries_item *item = &world.rsp.audit.entries.item[i];
		if (strcmp(item->act, act) == 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s: %s",
			    len ? "; " : "", item->by, item->detail);
	}
	return text;
}

/* ---- which snapshot is the newest */

static void a_start_is_told_what_was_kept_last(void **state)
{
	(void)state;
	uint8_t key[VAULT_SNAPSHOT_KEY_LEN], digest[VAULT_DIGEST_LEN];
	struct placed placed = start(HOST);
	assert_int_equal(world.rsp.materialise.snapshot_key.len, VAULT_SNAPSHOT_KEY_LEN);
	memcpy(key, world.rsp.materialise.snapshot_key.data, sizeof(key));
	assert_memory_not_equal(key, world.rsp.materialise.volume_key.data, sizeof(key));
	assert_true(world.rsp.materialise.snapshot == 0);
	assert_int_equal(world.rsp.materialise.snapshot_digest.len, 0);
	keep(&placed, 0, 0xa1);
	assert_answered();
	assert_true(world.rsp.keep.snapshot == 1);
	assert_string_equal(world.limited, "vault-keep");
	keep(&placed, 1, 0xa2);
	assert_answered();
	assert_true(world.rsp.keep.snapshot == 2);
	start(HOST);
	assert_memory_equal(key, world.rsp.materialise.snapshot_key.data, sizeof(key));
	assert_true(world.rsp.materialise.snapshot == 2);
	memset(digest, 0xa2, sizeof(digest));
	assert_int_equal(world.rsp.materialise.snapshot_digest.len, sizeof(digest));
	assert_memory_equal(world.rsp.materialise.snapshot_digest.data, digest, sizeof(digest));
	assert_string_equal(details("snapshot"),
	    "sandbox " HOST ": number 1 digest a1a1a1a1a1a1a1a1; sandbox " HOST
	    ": number 2 digest a2a2a2a2a2a2a2a2");
}

static void of_two_hosts_one_goes_on(void **state)
{
	(void)state;
	struct placed one = start(HOST), other = start(OTHER_HOST);
	keep(&one, 0, 0xa1);
	assert_answered();
	keep(&other, 0, 0xb1);
	assert_refused(ERR_CONFLICT, "snapshot_overtaken");
	keep(&one, 1, 0xa2);
	assert_answered();
	keep(&other, 1, 0xb2);
	assert_refused(ERR_CONFLICT, "snapshot_overtaken");
	/* once it has restored that */
	keep(&other, 2, 0xb3);
	assert_answered();
	assert_true(world.rsp.keep.snapshot == 3);
}

static void told_twice_it_is_noted_once(void **state)
{
	(void)state;
	struct placed placed = start(HOST);
	world.times = 3; /* overtaken by events, too */
	keep(&placed, 0, 0xa1);
	assert_answered();
	assert_true(world.rsp.keep.snapshot == 1);
	world.times = 1;
	keep(&placed, 0, 0xa1);
	assert_answered();
	assert_true(world.rsp.keep.snapshot == 1);
	assert_string_equal(
	    details("snapshot"), "sandbox " HOST ": number 1 digest a1a1a1a1a1a1a1a1");
}

static void who_has_sold_keeps_and_hands_over_nothing(void **state)
{
	(void)state;
	struct placed placed = start(HOST), stolen = placed;
	stolen.host = OTHER_HOST;
	keep(&stolen, 0, 1);
	assert_refused(ERR_DENIED, "grant_refused");
	hand_over(&stolen, 32, 32);
	assert_refused(ERR_DENIED, "grant_refused");
	sell_to(BUYER, 2000);
	keep(&placed, 0, 1);
	assert_refused(ERR_DENIED, "grant_refused");
	hand_over(&placed, 32, 32);
	assert_refused(ERR_DENIED, "grant_refused");
	world.vault.state = VAULT_SEALED;
	keep(&placed, 0, 1);
	assert_refused(ERR_UNAVAILABLE, "vault_sealed");
}

static void another_period_has_other_snapshots(void **state)
{
	(void)state;
	uint8_t key[VAULT_SNAPSHOT_KEY_LEN];
	struct placed placed = start(HOST);
	memcpy(key, world.rsp.materialise.snapshot_key.data, sizeof(key));
	keep(&placed, 0, 0xa1);
	sell_to(BUYER, 2000);
	placed = start(HOST);
	assert_memory_not_equal(key, world.rsp.materialise.snapshot_key.data, sizeof(key));
	assert_true(world.rsp.materialise.snapshot == 0);
	keep(&placed, 0, 0xb1);
	assert_answered();
}

/* ---- what the next owner may take over */

static void the_buyer_is_told_until_it_is_not_wanted(void **state)
{
	(void)state;
	struct placed placed = start(HOST);
	hand_over(&placed, 32, 32);
	assert_answered();
	assert_string_equal(world.limited, "vault-hand-over");
	assert_string_equal(details("hand_over"), "sandbox " HOST ": digest 0808080808080808");
	start(HOST);
	assert_int_equal(world.rsp.materialise.handed_key.len, 0);
	sell_to(BUYER, 2000);
	start(OTHER_HOST);
	assert_int_equal(world.rsp.materialise.handed_key.len, 0); /* not final yet */
	assert_string_equal(world.rsp.materialise.handed_wallet, "");
	destroy(WALLET, 1000);
	for (unsigned i = 0; i < 2; i++) {
		placed = start(OTHER_HOST);
		assert_int_equal(world.rsp.materialise.handed_key.len, 32);
		assert_int_equal(world.rsp.materialise.handed_key.data[31], 7);
		assert_int_equal(world.rsp.materialise.handed_digest.len, 32);
		assert_int_equal(world.rsp.materialise.handed_digest.data[31], 8);
		assert_string_equal(world.rsp.materialise.handed_wallet, WALLET);
	}
	hand_over(&placed, 0, 0);
	assert_answered();
	placed = start(HOST);
	assert_int_equal(world.rsp.materialise.handed_key.len, 0);
	assert_int_equal(world.rsp.materialise.handed_digest.len, 0);
	assert_string_equal(world.rsp.materialise.handed_wallet, "");
	hand_over(&placed, 0, 0);
	assert_answered();
	assert_string_equal(details("handed"),
	    "sandbox " OTHER_HOST ": from " WALLET "/1000 digest 0808080808080808; "
	    "sandbox " OTHER_HOST ": from " WALLET "/1000 digest 0808080808080808");
	assert_string_equal(details("hand_over"), "sandbox " OTHER_HOST ": done with");
	assert_string_equal(details("materialise"),
	    "sandbox " OTHER_HOST ": boot " BOOT " page 0: 0 secrets; "
	    "sandbox " OTHER_HOST ": boot " BOOT " page 0: 0 secrets; "
	    "sandbox " OTHER_HOST ": boot " BOOT " page 0: 0 secrets; "
	    "sandbox " HOST ": boot " BOOT " page 0: 0 secrets");
}

static void a_giver_takes_it_back(void **state)
{
	(void)state;
	struct placed placed = start(HOST);
	hand_over(&placed, 32, 32);
	hand_over(&placed, 0, 0);
	assert_answered();
	assert_string_equal(details("hand_over"),
	    "sandbox " HOST ": digest 0808080808080808; sandbox " HOST ": withdrawn");
	sell_to(BUYER, 2000);
	destroy(WALLET, 1000);
	start(HOST);
	assert_int_equal(world.rsp.materialise.handed_key.len, 0);
}

static void half_a_hand_over_is_none(void **state)
{
	(void)state;
	static const size_t lens[][2] = {{32, 0}, {0, 32}, {31, 32}, {32, 31}};
	struct placed placed = start(HOST);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		hand_over(&placed, lens[i][0], lens[i][1]);
		assert_refused(ERR_INVALID, "hand_over_invalid");
	}
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_start_is_told_what_was_kept_last),
	    TEST(of_two_hosts_one_goes_on),
	    TEST(told_twice_it_is_noted_once),
	    TEST(who_has_sold_keeps_and_hands_over_nothing),
	    TEST(another_period_has_other_snapshots),
	    TEST(the_buyer_is_told_until_it_is_not_wanted),
	    TEST(a_giver_takes_it_back),
	    TEST(half_a_hand_over_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
