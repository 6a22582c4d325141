/* resolver_wire - the little of DNS that the resolver reads and writes. Whatever the bytes are: no read outside them, no pointer followed but backwards, no memory.
 * Sources: RFC 1035 §4.1 (header, names, records), RFC 6891 (EDNS), RFC 2308 (answers that say there is nothing).
 */
#ifndef SANDBOX_RESOLVER_WIRE_H
#define SANDBOX_RESOLVER_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESOLVER_NAME_MAX 255     /* bytes of a name with the length of each label and its end */
#define RESOLVER_TEXT_MAX 253     /* the same with dots */
#define RESOLVER_REPLY_MAX 512    /* to a container: fits whoever asks, so nothing is ever cut */
#define RESOLVER_PACKET_MAX 1232  /* from anybody; also what an upstream is told */
#define RESOLVER_ADDRESSES_MAX 80 /* more do not fit into a packet */

enum resolver_rcode {
	RESOLVER_NOERROR = 0,
	RESOLVER_FORMERR = 1,
	RESOLVER_SERVFAIL = 2,
	RESOLVER_NXDOMAIN = 3,
	RESOLVER_NOTIMP = 4,
	RESOLVER_REFUSED = 5
};

enum resolver_type { RESOLVER_A = 1, RESOLVER_CNAME = 5, RESOLVER_AAAA = 28, RESOLVER_OPT = 41 };
#define RESOLVER_IN 1

struct resolver_name {
	size_t len; /* with the end; 1: the root */
	uint8_t bytes[RESOLVER_NAME_MAX];
};

struct resolver_question {
	uint16_t id, flags;
	unsigned opcode;           /* not 0: what follows is not read */
	struct resolver_name name; /* as it was asked, case and all */
	uint16_t type, class;
	bool has_edns;
	char text
	    [RESOLVER_TEXT_MAX +
		1]; /* "" if it cannot be a host's name: then its bytes are not for comparing with text */
};

/* What an upstream said, its chain of CNAMEs followed. */
struct resolver_answer {
	enum resolver_rcode rcode;
	uint32_t ttl_s; /* least of the chain; 0 if there is no address */
	size_t n;
	struct in_addr address[RESOLVER_ADDRESSES_MAX];
};

/* A container's packet. False: malformed, not a question, or more than one. */
bool resolver_wire_question(
    const uint8_t *packet, size_t len, struct resolver_question *question_r);
/* Reply to it: answer's addresses as far as they fit, or none if answer is NULL. Returns its length. */
size_t resolver_wire_reply(const struct resolver_question *question, enum resolver_rcode rcode,
    const struct resolver_answer *answer, uint8_t reply_r[RESOLVER_REPLY_MAX]);
/* How many addresses fit into a reply to it. */
size_t resolver_wire_room(const struct resolver_question *question);

/* Question for the addresses of a name, to an upstream. Returns its length. */
size_t resolver_wire_ask(uint16_t id, const struct resolver_name *name, bool with_edns,
    uint8_t packet_r[RESOLVER_REPLY_MAX]);
/* An upstream's packet. False: not the answer to that question (the name compared byte for byte), or malformed. An answer that was cut counts as far as it goes;
 * one that was cut before its first address is SERVFAIL. */
bool resolver_wire_answer(const uint8_t *packet, size_t len, uint16_t id,
    const struct resolver_name *name, struct resolver_answer *answer_r);

#endif
