#include "services/secret-vault/channels.h"

#include <string.h>

static const struct token {
	const char *name, *channel, *key;
	bool is_main; /* without it the channel is not there; it comes first of its channel */
} tokens[CHANNELS_TOKENS] = {
    {"telegram", "telegram", "botToken", true},
    {"discord", "discord", "token", true},
    {"slack", "slack", "botToken", true},
    {"slack_app", "slack", "appToken", false},
};

const char *channels_token_name(size_t i)
{
	return tokens[i].name;
}

bool channels_has_token(const char *name)
{
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		if (strcmp(tokens[i].name, name) == 0)
			return true;
	return false;
}

struct writer {
	uint8_t *bytes;
	size_t size, len;
	bool full;
};

static void add(struct writer *writer, const void *bytes, size_t len)
{
	if (writer->full || len > writer->size - writer->len) {
		writer->full = true;
		return;
	}
	memcpy(writer->bytes + writer->len, bytes, len);
	writer->len += len;
}

static void add_text(struct writer *writer, const char *text)
{
	add(writer, text, strlen(text));
}

/* RFC 8259: quotation mark, backslash and controls are escaped, everything else stands as it is; values were checked to be UTF-8. */
static void add_string(struct writer *writer, const uint8_t *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	add_text(writer, "\"");
	for (size_t i = 0; i < len; i++) {
		uint8_t c = bytes[i];
		char escaped[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
		if (c < 0x20 || c == 0x7f)
			add(writer, escaped, sizeof(escaped));
		else if (c == '"' || c == '\\')
			add(writer, (const char[]){'\\', (char)c}, 2);
		else
			add(writer, &c, 1);
	}
	add_text(writer, "\"");
}

static void add_member(struct writer *writer, const struct token *token, const struct secret *value)
{
	add_text(writer, ",\"");
	add_text(writer, token->key);
	add_text(writer, "\":");
	add_string(writer, secret_bytes(value), secret_len(value));
}

/* first: index of its main token. Returns the index after its last. */
static size_t add_channel(
    struct writer *writer, const struct secret *const token[CHANNELS_TOKENS], size_t first)
{
	size_t i = first;
	add_text(writer, "\"");
	add_text(writer, tokens[first].channel);
	add_text(
	    writer, "\":{\"enabled\":true,\"dmPolicy\":\"pairing\",\"groupPolicy\":\"allowlist\"");
	do {
		if (token[i])
			add_member(writer, &tokens[i], token[i]);
		i++;
	} while (i < CHANNELS_TOKENS && !tokens[i].is_main);
	add_text(writer, "}");
	return i;
}

size_t channels_write(
    const struct secret *const token[CHANNELS_TOKENS], uint8_t *bytes_r, size_t size)
{
	struct writer writer = {.bytes = bytes_r, .size = size};
	const char *between = "";
	add_text(&writer, "{\"channels\":{");
	for (size_t i = 0; i < CHANNELS_TOKENS;) {
		if (!tokens[i].is_main || !token[i]) {
			i++;
			continue;
		}
		add_text(&writer, between);
		between = ",";
		i = add_channel(&writer, token, i);
	}
	add_text(&writer, "}}\n");
	return writer.full ? 0 : writer.len;
}
