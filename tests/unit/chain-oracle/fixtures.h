/* fixtures - the Core accounts of the vectors, and accounts made from them. */
#ifndef TESTS_CHAIN_ORACLE_FIXTURES_H
#define TESTS_CHAIN_ORACLE_FIXTURES_H

#include "services/chain-oracle/core_account.h"
#include "tests/unit/common/vectors.h"

#define OWNER "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
#define BOB "GyGKxMyg1p9SsHfm15MkNUu1u9TN2JtTspcdmrtGUdse"
#define MALLORY "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB"
#define COLLECTION "EdmxWPmx2WH6WgFfTdu9xfkYf3k1g5wD1zccTVySEEh1"
#define ASSET "8SFqwqnq4whPhs8icwHA2hQg3hUoN1qrCLK1SBx3WKwe"
#define SYSTEM_PROGRAM "11111111111111111111111111111111"

struct fixture {
	char name[128];
	uint8_t bytes[512];
	struct core_account account;
};

static inline void fixture_load(json_t *vectors, size_t i, struct fixture *fixture_r)
{
	json_t *entry = json_array_get(json_object_get(vectors, "accounts"), i);

	memset(fixture_r, 0, sizeof(*fixture_r));
	snprintf(fixture_r->name, sizeof(fixture_r->name), "%s", vectors_str(entry, "name"));
	fixture_r->account.len =
	    vectors_hex(entry, "data_hex", fixture_r->bytes, sizeof(fixture_r->bytes));
	fixture_r->account.exists = true;
	fixture_r->account.lamports = 1;
	fixture_r->account.space = fixture_r->account.len;
	fixture_r->account.data = fixture_r->bytes;
	assert_int_equal(pubkey_parse(CORE_PROGRAM, fixture_r->account.program), 0);
}

#endif
