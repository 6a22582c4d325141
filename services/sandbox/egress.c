#include "services/sandbox/egress.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/special_addresses.h"

#define BITS_MIN 8

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

/* Like isspace, whatever the locale. */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* RFC 1123: labels of letters, digits, hyphens (and underscores, which names of services have), the last not a number, so that an address is no name; in lower
 * case, without the dot at the end. */
static bool read_name(const char *text, char name_r[EGRESS_HOST_MAX + 1])
{
	size_t len = strlen(text), label = 0, digits = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > EGRESS_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool is_end = i + 1 == len || text[i + 1] == '.';

		name_r[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		if (c == '.' && label > 0) {
			label = digits = 0;
			continue;
		}
		if (!(is_alnum(c) || c == '_' || (c == '-' && label > 0 && !is_end)) ||
		    ++label > 63)
			return false;
		digits += is_digit(c);
	}
	name_r[len] = '\0';
	return label > digits;
}

/* One or two digits. */
static bool read_bits(const char *text, unsigned *bits_r)
{
	size_t len = strlen(text);

	if (len < 1 || len > 2 || !is_digit(text[0]) || (len == 2 && !is_digit(text[1])))
		return false;
	*bits_r = (unsigned)(text[0] - '0');
	if (len == 2)
		*bits_r = *bits_r * 10 + (unsigned)(text[1] - '0');
	return *bits_r >= BITS_MIN && *bits_r <= 32;
}

static bool read_range(const char *text, struct cidr *range_r)
{
	char address[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	range_r->bits = 32;
	if ((slash && !read_bits(slash + 1, &range_r->bits)) ||
	    inet_pton(AF_INET, address, &range_r->address) != 1)
		return false;
	range_r->address.s_addr &= htonl(UINT32_MAX << (32 - range_r->bits));
	return true;
}

/* The entry as it is kept; false if it is none. */
static bool write_entry(const char *host, char entry_r[EGRESS_HOST_MAX + 1])
{
	bool is_below = strncmp(host, "*.", 2) == 0;
	char name[EGRESS_HOST_MAX + 1], address[INET_ADDRSTRLEN];
	struct cidr range;
	int len;

	if (read_range(host, &range)) {
		inet_ntop(AF_INET, &range.address, address, sizeof(address));
		len = snprintf(entry_r, EGRESS_HOST_MAX + 1, range.bits < 32 ? "%s/%u" : "%s",
		    address, range.bits);
		return len > 0 && !special_range_of(range.address, range.bits);
	}
	if (!read_name(host + (is_below ? 2 : 0), name))
		return false;
	len = snprintf(entry_r, EGRESS_HOST_MAX + 1, "%s%s", is_below ? "*." : "", name);
	return len > 0 && len <= EGRESS_HOST_MAX;
}

bool egress_add(struct egress *egress, const char *host)
{
	if (egress->n == EGRESS_HOSTS_MAX || !write_entry(host, egress->host[egress->n]))
		return false;
	egress->n++;
	return true;
}

/* len bytes between two commas, without what stands around the entry; nothing is an entry that says nothing. */
static bool add_part(struct egress *egress, const char *part, size_t len)
{
	char entry[EGRESS_HOST_MAX + 2];

	while (len > 0 && is_space(part[0]))
		part++, len--;
	while (len > 0 && is_space(part[len - 1]))
		len--;
	if (len == 0)
		return true;
	if (len >= sizeof(entry) || memchr(part, '\0', len))
		return false;
	memcpy(entry, part, len);
	entry[len] = '\0';
	return egress_add(egress, entry);
}

static bool add_line(struct egress *egress, const char *line, size_t len)
{
	const char *comment = memchr(line, '#', len);
	const char *end = comment ? comment : line + len;

	while (line < end) {
		const char *comma = memchr(line, ',', (size_t)(end - line));
		const char *stop = comma ? comma : end;

		if (!add_part(egress, line, (size_t)(stop - line)))
			return false;
		line = stop + (stop < end);
	}
	return true;
}

int egress_parse(struct egress *egress, const uint8_t *text, size_t len, struct error *err)
{
	const char *at = (const char *)text, *end = at + len;

	*egress = (struct egress){.is_narrowed = true};
	for (unsigned number = 1; at < end; number++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;

		if (!add_line(egress, at, (size_t)(stop - at))) {
			bool is_full = egress->n == EGRESS_HOSTS_MAX;

			egress->n = 0;
			return error_refuse(err, ERR_INVALID, "egress_invalid",
			    is_full
				? "custom/egress-hosts, line %u: more than %d entries"
				: "custom/egress-hosts, line %u: not a name of a host, *.name, a "
				  "public IPv4 address or range, of at most %d characters",
			    number, is_full ? EGRESS_HOSTS_MAX : EGRESS_HOST_MAX);
		}
		at = stop + (stop < end);
	}
	return 0;
}

bool egress_allows(const struct egress *egress, const char *name)
{
	char asked[EGRESS_HOST_MAX + 1];

	if (!egress || !egress->is_narrowed)
		return true;
	if (!read_name(name, asked))
		return false;
	size_t len = strlen(asked);
	for (size_t i = 0; i < egress->n; i++) {
		const char *host = egress->host[i];
		size_t below = strncmp(host, "*.", 2) == 0 ? strlen(host + 1) : 0;

		if (below ? len > below && strcmp(asked + len - below, host + 1) == 0
			  : strcmp(asked, host) == 0)
			return true;
	}
	return false;
}

size_t egress_ranges(const struct egress *egress, struct cidr range_r[EGRESS_HOSTS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < egress->n; i++)
		n += read_range(egress->host[i], &range_r[n]);
	return n;
}
