/* The hot wallet: made once, on a fresh signature, shown once, and in the container at each start. */
#include "tests/unit/secret-vault/calls_world.h"

#include "common/scoped.h"

#define NONCE "0123456789abcdef0123456789abcdef"
#define IP "203.0.113.9"

static struct vault_generate_req request_of(const uint8_t *recipient)
{
	struct vault_generate_req req = {
	    .token = "t", .nonce = NONCE, .ip = IP, .signature = {.len = 64}};
	memset(req.signature.data, 7, 64);
	req.signed_message.len = 3;
	memcpy(req.signed_message.data, "\xffso", 3);
	if (recipient) {
		req.recipient.len = 32;
		memcpy(req.recipient.data, recipient, 32);
	}
	return req;
}

static void generate(const uint8_t *recipient)
{
	const struct vault_generate_req req = request_of(recipient);
	world.answers = 0;
	world.message = &vault_generate_rsp_message;
	vault_generate(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

static void assert_is_keypair(const uint8_t bytes[64], const char *address)
{
	uint8_t public[32], secret[64];
	char text[PUBKEY_TEXT_MAX + 1];
	crypto_sign_seed_keypair(public, secret, bytes);
	assert_memory_equal(secret, bytes, 64);
	assert_string_equal(pubkey_text(public, text), address);
}

static void the_key_is_shown_once_and_never_again(void **state)
{
	(void)state;
	generate(NULL);
	assert_answered();
	assert_int_equal(world.rsp.generate.secret.len, 64);
	assert_int_equal(world.rsp.generate.sealed.len, 0);
	assert_is_keypair(world.rsp.generate.secret.data, world.rsp.generate.address);
	generate(NULL);
	assert_refused(ERR_CONFLICT, "already_revealed");
}

static void the_address_stays_visible(void **state)
{
	(void)state;
	char address[PUBKEY_TEXT_MAX + 1];
	generate(NULL);
	memcpy(address, world.rsp.generate.address, sizeof(address));
	ASK(hot, .token = "t");
	assert_answered();
	assert_string_equal(world.rsp.hot.address, address);
	assert_true(world.rsp.hot.created_ms == NOW);
	ASK(list, .token = "t");
	assert_answered();
	assert_int_equal(world.rsp.list.secrets.len, 1);
	assert_string_equal(world.rsp.list.secrets.item[0].kind, "wallet");
	assert_string_equal(world.rsp.list.secrets.item[0].name, "hot");
	assert_int_equal(strlen(world.rsp.list.secrets.item[0].preview), 8);
	assert_memory_equal(world.rsp.list.secrets.item[0].preview, address, 8);
	assert_string_equal(trail(0), "generate wallet/hot v1");
	assert_string_equal(
	    world.rsp.audit.entries.item[world.rsp.audit.entries.len - 1].detail, address);
}

static void what_was_signed_is_confirmed_before_anything_is_made(void **state)
{
	(void)state;
	generate(NULL);
	const struct auth_confirm_req *req = &world.confirmed;
	assert_int_equal(world.confirms, 1);
	assert_string_equal(req->act, "hot_wallet");
	assert_string_equal(req->asset, ASSET);
	assert_string_equal(req->wallet, WALLET);
	assert_string_equal(req->nonce, NONCE);
	assert_string_equal(req->ip, IP);
	assert_int_equal(req->signature.len, 64);
	assert_int_equal(req->signature.data[63], 7);
	assert_int_equal(req->signed_message.len, 3);
	assert_memory_equal(req->signed_message.data, "\xffso", 3);
	assert_int_equal(req->recipient.len, 0);
}

static void without_a_good_signature_nothing_is_made(void **state)
{
	(void)state;
	error_refuse(&world.refuses, ERR_UNAUTHENTICATED, "signature_invalid", "no");
	generate(NULL);
	assert_refused(ERR_UNAUTHENTICATED, "signature_invalid");
	ASK(hot, .token = "t");
	assert_string_equal(world.rsp.hot.address, "");
	assert_string_equal(trail(0), "");
	world.refuses.code = ERR_NONE;
	generate(NULL);
	assert_answered();
}

static void the_answer_may_be_sealed_to_the_clients_key(void **state)
{
	(void)state;
	uint8_t public[32], secret[32], opened[64];
	crypto_box_keypair(public, secret);
	generate(public);
	assert_answered();
	assert_int_equal(world.rsp.generate.secret.len, 0);
	assert_int_equal(world.rsp.generate.sealed.len, 112);
	assert_int_equal(
	    crypto_box_seal_open(opened, world.rsp.generate.sealed.data, 112, public, secret), 0);
	assert_is_keypair(opened, world.rsp.generate.address);
	assert_int_equal(world.confirmed.recipient.len, 32);
	assert_memory_equal(world.confirmed.recipient.data, public, 32);
}

/* RFC 7748's and libsodium's list: sealed to one of these, anybody could open it. */
static void nothing_is_sealed_to_a_key_of_low_order(void **state)
{
	(void)state;
	static const uint8_t keys[][32] = {
	    {0},
	    {1},
	    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
		0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
		0x5f, 0x49, 0xb8, 0x00},
	    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
		0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
		0xd0, 0x9f, 0x11, 0x57},
	    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0x7f},
	};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		generate(keys[i]);
		assert_refused(ERR_INVALID, "recipient_invalid");
	}
	struct vault_generate_req req = request_of(keys[0]);
	req.recipient.len = 31;
	vault_generate(&world.vault, &req, &world.request);
	assert_refused(ERR_INVALID, "recipient_invalid");
	assert_int_equal(world.confirms, 0);
	generate(NULL);
	assert_answered();
}

/* An event of the asset came in between (a logout elsewhere): the wallet that this request has made is the one that it tells. */
static void asked_again_it_tells_what_it_made_and_asks_for_no_second_signature(void **state)
{
	(void)state;
	char address[PUBKEY_TEXT_MAX + 1];
	world.times = 3;
	generate(NULL);
	assert_answered();
	assert_int_equal(world.confirms, 1);
	assert_is_keypair(world.rsp.generate.secret.data, world.rsp.generate.address);
	memcpy(address, world.rsp.generate.address, sizeof(address));
	ASK(hot, .token = "t");
	assert_string_equal(world.rsp.hot.address, address);
	assert_string_equal(trail(0), "generate wallet/hot v1");
	generate(NULL);
	assert_refused(ERR_CONFLICT, "already_revealed");
}

static void a_container_gets_it_as_solanas_tools_read_it(void **state)
{
	(void)state;
	uint8_t secret[64];
	generate(NULL);
	memcpy(secret, world.rsp.generate.secret.data, 64);
	ASK(grant, .token = "t", .boot_id = BOOT, .host_key = HOST);
	struct vault_materialise_req req = {.boot_id = BOOT};
	req.grant.len = world.rsp.grant.grant.len;
	memcpy(req.grant.data, world.rsp.grant.grant.data, req.grant.len);
	world.message = &vault_materialise_rsp_message;
	vault_materialise(&world.vault, &req, &world.request);
	assert_answered();
	const struct vault_materialise_rsp *rsp = &world.rsp.materialise;
	assert_int_equal(rsp->files.len, 3);
	assert_string_equal(rsp->files.item[2].path, "wallet/hot.json");
	assert_int_equal(rsp->files.item[2].mode, 0400);
	size_t len = rsp->files.item[2].size;
	const char *text = (const char *)rsp->bytes.data + rsp->bytes.len - len;
	scoped_json json_t *json = json_loadb(text, len, 0, NULL);
	assert_int_equal(json_array_size(json), 64);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(json_integer_value(json_array_get(json, i)), secret[i]);
	assert_int_equal(text[len - 1], '\n');
	assert_non_null(strstr(trail(0), "release wallet/hot v1"));
}

static void the_next_owner_makes_another(void **state)
{
	(void)state;
	char address[PUBKEY_TEXT_MAX + 1];
	generate(NULL);
	memcpy(address, world.rsp.generate.address, sizeof(address));
	world.holding =
	    (struct holding){.asset = ASSET, .wallet = BUYER, .slot = 2000, .other_slot = 1500};
	ASK(hot, .token = "t");
	assert_string_equal(world.rsp.hot.address, "");
	generate(NULL);
	assert_answered();
	assert_string_not_equal(address, world.rsp.generate.address);
	assert_string_equal(world.confirmed.wallet, BUYER);
}

/* The whole keypair is in no file of the store. */
static void its_bytes_are_in_no_file(void **state)
{
	(void)state;
	generate(NULL);
	static const char *const names[] = {"store.db", "store.db-wal", "marks.db", "marks.db-wal"};
	static uint8_t bytes[1 << 20];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[96];
		snprintf(path, sizeof(path), "%s/%s", world.dir, names[i]);
		scoped_file FILE *file = fopen(path, "r");
		if (!file)
			continue;
		size_t len = fread(bytes, 1, sizeof(bytes), file);
		assert_true(len < sizeof(bytes));
		assert_null(memmem(bytes, len, world.rsp.generate.secret.data, 16));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_key_is_shown_once_and_never_again),
	    TEST(the_address_stays_visible),
	    TEST(what_was_signed_is_confirmed_before_anything_is_made),
	    TEST(without_a_good_signature_nothing_is_made),
	    TEST(the_answer_may_be_sealed_to_the_clients_key),
	    TEST(nothing_is_sealed_to_a_key_of_low_order),
	    TEST(asked_again_it_tells_what_it_made_and_asks_for_no_second_signature),
	    TEST(a_container_gets_it_as_solanas_tools_read_it),
	    TEST(the_next_owner_makes_another),
	    TEST(its_bytes_are_in_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
