/* read_config - the configuration object of account reads and subscriptions: encoding, commitment, minContextSlot, dataSlice, filters;
 * and how an account is written under it. Defaults and errors as in Agave's rpc and rpc-client-api. */
#ifndef DEVCHAIN_READ_CONFIG_H
#define DEVCHAIN_READ_CONFIG_H

#include "tests/devchain/jsonrpc.h"
#include "tests/devchain/node.h"

#define FILTERS_MAX 4
#define FILTER_BYTES_MAX 128
#define BASE58_DATA_MAX 128

enum encoding { ENCODING_BINARY, ENCODING_BASE58, ENCODING_BASE64 };

struct filter {
	bool is_size;
	uint64_t size, offset;
	size_t len;
	uint8_t bytes[FILTER_BYTES_MAX];
};

struct read_config {
	enum encoding encoding;
	enum commitment commitment;
	bool has_min, has_slice, with_context;
	uint64_t min_slot, slice_offset, slice_len;
	size_t nfilters;
	struct filter filters[FILTERS_MAX];
};

/* config may be NULL: all defaults. */
int read_config_parse(const json_t *config, struct read_config *config_r, struct rpc_error *err);
bool read_config_matches(const struct read_config *config, const struct reading *reading);
/* A key of the request's params. */
int read_key(const json_t *value, uint8_t key_r[PUBKEY_LEN], struct rpc_error *err);
/* Appends the account as a JSON object. */
int write_account(struct evbuffer *out, const struct read_config *config,
    const struct reading *reading, struct rpc_error *err);

#endif
