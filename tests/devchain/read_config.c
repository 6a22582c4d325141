#include "tests/devchain/read_config.h"

#include <sodium.h>
#include <string.h>

#include "common/error.h"
#include "common/scoped.h"

static int bad_param(struct rpc_error *err, const char *what)
{
	return rpc_fail(err, RPC_INVALID_PARAMS, "Invalid params: %s.", what);
}

int read_key(const json_t *value, uint8_t key_r[PUBKEY_LEN], struct rpc_error *err)
{
	const char *text = json_string_value(value);

	if (!text)
		return bad_param(err, "invalid type, expected a string");
	if (pubkey_parse(text, key_r) == 0)
		return 0;
	return rpc_fail(err, RPC_INVALID_PARAMS, "Invalid param: %s",
	    strspn(text, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz") ==
		    strlen(text)
		? "WrongSize"
		: "Invalid");
}

/* absent and null are the same */
static int read_u64(
    const json_t *object, const char *name, bool *has_r, uint64_t *value_r, struct rpc_error *err)
{
	const json_t *value = json_object_get(object, name);

	*has_r = value && !json_is_null(value);
	if (!*has_r)
		return 0;
	/* what does not fit jansson's integers was read as a real */
	if (json_is_real(value) && json_real_value(value) >= 0 &&
	    json_real_value(value) <= 0x1p64) {
		double real = json_real_value(value);

		*value_r = real < 0x1p64 ? (uint64_t)real : UINT64_MAX;
		return 0;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return bad_param(err, "invalid type, expected u64");
	*value_r = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_choice(const json_t *object, const char *name, const char *const *names,
    int *choice, struct rpc_error *err)
{
	const json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return 0;
	for (int i = 0; text && names[i]; i++)
		if (strcmp(text, names[i]) == 0) {
			*choice = i;
			return 0;
		}
	return rpc_fail(err, RPC_INVALID_PARAMS, "Invalid params: unknown variant of `%s`.", name);
}

static int read_encoding(const json_t *config, enum encoding *encoding_r, struct rpc_error *err)
{
	/* an account that no parser knows comes back in base64 when jsonParsed was asked for */
	static const char *const names[] = {"binary", "base58", "base64", "jsonParsed", NULL};
	int choice = ENCODING_BINARY;

	if (read_choice(config, "encoding", names, &choice, err) != 0)
		return -1;
	*encoding_r = choice > ENCODING_BASE64 ? ENCODING_BASE64 : (enum encoding)choice;
	return 0;
}

static int read_slice(const json_t *config, struct read_config *config_r, struct rpc_error *err)
{
	const json_t *slice = json_object_get(config, "dataSlice");
	bool has_offset, has_len;

	if (!slice || json_is_null(slice))
		return 0;
	if (read_u64(slice, "offset", &has_offset, &config_r->slice_offset, err) != 0 ||
	    read_u64(slice, "length", &has_len, &config_r->slice_len, err) != 0)
		return -1;
	if (!has_offset || !has_len)
		return bad_param(err, "missing field in dataSlice");
	config_r->has_slice = true;
	return 0;
}

/* base58 of unknown length: leading 1s are zero bytes, the others carry a little less than 6 bits each */
static int decode_base58(const char *text, struct filter *filter)
{
	size_t ones = strspn(text, "1"), rest = strlen(text) - ones;
	size_t least = ones + rest * 732 / 1000;

	for (size_t len = least; len <= least + 2 && len <= FILTER_BYTES_MAX; len++)
		if (len && base58_decode(text, filter->bytes, len) == 0) {
			filter->len = len;
			return 0;
		}
	return -1;
}

static int decode_base64(const char *text, struct filter *filter)
{
	return sodium_base642bin(filter->bytes, sizeof(filter->bytes), text, strlen(text), NULL,
	    &filter->len, NULL, sodium_base64_VARIANT_ORIGINAL);
}

static int read_bytes(const json_t *bytes, struct filter *filter, struct rpc_error *err)
{
	if (json_array_size(bytes) > FILTER_BYTES_MAX)
		return rpc_fail(err, RPC_INVALID_PARAMS,
		    "Invalid param: encoded binary data should be less than 129 bytes");
	for (; filter->len < json_array_size(bytes); filter->len++) {
		json_int_t byte = json_integer_value(json_array_get(bytes, filter->len));
		if (byte < 0 || byte > 255)
			return bad_param(err, "invalid value, expected u8");
		filter->bytes[filter->len] = (uint8_t)byte;
	}
	return 0;
}

static int read_memcmp(const json_t *memcmp_, struct filter *filter, struct rpc_error *err)
{
	static const char *const names[] = {"base58", "base64", "bytes", NULL};
	const json_t *bytes = json_object_get(memcmp_, "bytes");
	const char *text = json_string_value(bytes);
	bool has_offset;
	int encoding = 0;

	if (read_u64(memcmp_, "offset", &has_offset, &filter->offset, err) != 0 ||
	    read_choice(memcmp_, "encoding", names, &encoding, err) != 0)
		return -1;
	if (!has_offset)
		return bad_param(err, "missing field `offset`");
	if (json_is_array(bytes))
		return read_bytes(bytes, filter, err);
	if (!text)
		return bad_param(err, "missing field `bytes`");
	if (text[0] == '\0')
		return 0;
	if ((encoding == 1 ? decode_base64(text, filter) : decode_base58(text, filter)) != 0)
		return rpc_fail(err, RPC_INVALID_PARAMS,
		    "Invalid param: memcmp bytes cannot be decoded, or exceed %d bytes",
		    FILTER_BYTES_MAX);
	return 0;
}

static int read_filter(const json_t *value, struct filter *filter, struct rpc_error *err)
{
	const json_t *memcmp_ = json_object_get(value, "memcmp");

	*filter = (struct filter){0};
	if (json_is_object(memcmp_))
		return read_memcmp(memcmp_, filter, err);
	if (read_u64(value, "dataSize", &filter->is_size, &filter->size, err) != 0)
		return -1;
	return filter->is_size ? 0
			       : bad_param(err, "unknown filter, expected `dataSize` or `memcmp`");
}

static int read_filters(const json_t *config, struct read_config *config_r, struct rpc_error *err)
{
	const json_t *filters = json_object_get(config, "filters");

	if (json_array_size(filters) > FILTERS_MAX)
		return rpc_fail(
		    err, RPC_INVALID_PARAMS, "Too many filters provided; max %d", FILTERS_MAX);
	for (; config_r->nfilters < json_array_size(filters); config_r->nfilters++)
		if (read_filter(json_array_get(filters, config_r->nfilters),
			&config_r->filters[config_r->nfilters], err) != 0)
			return -1;
	return 0;
}

int read_config_parse(const json_t *config, struct read_config *config_r, struct rpc_error *err)
{
	static const char *const commitments[] = {"processed", "confirmed", "finalized", NULL};
	int commitment = FINALIZED;

	*config_r = (struct read_config){.commitment = FINALIZED};
	if (!config || json_is_null(config))
		return 0;
	if (!json_is_object(config))
		return bad_param(err, "invalid type, expected a configuration object");
	if (read_encoding(config, &config_r->encoding, err) != 0 ||
	    read_choice(config, "commitment", commitments, &commitment, err) != 0 ||
	    read_u64(config, "minContextSlot", &config_r->has_min, &config_r->min_slot, err) != 0 ||
	    read_slice(config, config_r, err) != 0 || read_filters(config, config_r, err) != 0)
		return -1;
	config_r->commitment = (enum commitment)commitment;
	config_r->with_context = json_is_true(json_object_get(config, "withContext"));
	return 0;
}

static bool matches(const struct filter *filter, const struct reading *reading)
{
	if (filter->is_size)
		return reading->len == filter->size;
	return filter->offset <= reading->len && reading->len - filter->offset >= filter->len &&
	       (filter->len == 0 ||
		   memcmp(reading->data + filter->offset, filter->bytes, filter->len) == 0);
}

bool read_config_matches(const struct read_config *config, const struct reading *reading)
{
	for (size_t i = 0; i < config->nfilters; i++)
		if (!matches(&config->filters[i], reading))
			return false;
	return true;
}

static void write_base64(struct evbuffer *out, const uint8_t *data, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	scoped_free char *text = malloc(size);

	bug_if(!text);
	sodium_bin2base64(text, size, data, len, sodium_base64_VARIANT_ORIGINAL);
	evbuffer_add_printf(out, "[\"%s\",\"base64\"]", text);
}

static int write_data(struct evbuffer *out, const struct read_config *config, const uint8_t *data,
    size_t len, struct rpc_error *err)
{
	char text[BASE58_DATA_MAX * 138 / 100 + 2] = "";

	if (config->encoding == ENCODING_BASE64) {
		write_base64(out, data, len);
		return 0;
	}
	if (len > BASE58_DATA_MAX)
		return rpc_fail(err, RPC_INVALID_REQUEST,
		    "Encoded binary (base 58) data should be less than 128 bytes, please use "
		    "Base64 encoding.");
	if (len)
		base58_encode(data, len, text, sizeof(text));
	evbuffer_add_printf(
	    out, config->encoding == ENCODING_BASE58 ? "[\"%s\",\"base58\"]" : "\"%s\"", text);
	return 0;
}

int write_account(struct evbuffer *out, const struct read_config *config,
    const struct reading *reading, struct rpc_error *err)
{
	char program[PUBKEY_TEXT_MAX + 1];
	uint64_t offset = 0, len = reading->len;

	if (config->has_slice) {
		offset = config->slice_offset < len ? config->slice_offset : len;
		len = config->slice_len < len - offset ? config->slice_len : len - offset;
	}
	evbuffer_add_printf(out, "{\"data\":");
	if (write_data(out, config, reading->data + offset, (size_t)len, err) != 0)
		return -1;
	evbuffer_add_printf(out,
	    ",\"executable\":%s,\"lamports\":%llu,\"owner\":\"%s\",\"rentEpoch\":"
	    "18446744073709551615,\"space\":%zu}",
	    reading->executable ? "true" : "false", (unsigned long long)reading->lamports,
	    pubkey_text(reading->program, program), reading->len);
	return 0;
}
