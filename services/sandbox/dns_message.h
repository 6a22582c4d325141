/* dns_message - the little of DNS (RFC 1035) that agents are answered with: one question of class IN with an ordinary name in, address records out. Who asks
 * is hostile, so this is read here and not by a library that was made for friends (libevent's server dies of some datagrams).
 */
#ifndef SANDBOX_DNS_MESSAGE_H
#define SANDBOX_DNS_MESSAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX 253
#define DNS_MESSAGE_MAX 512 /* over UDP, without extensions */
#define DNS_TYPE_A 1

enum dns_code { DNS_OK = 0, DNS_FAILED = 2, DNS_NO_SUCH_NAME = 3, DNS_REFUSED = 5 };

struct dns_question {
	uint16_t id, flags, type;
	char name[DNS_NAME_MAX + 1]; /* letters, digits, '-', '_', '.'; as asked */
	size_t len;                  /* of the question as it came */
	uint8_t bytes[DNS_NAME_MAX + 2 + 4];
};

/* -1: not a question that is answered. What follows it (EDNS) does not count. */
int dns_question_parse(struct dns_question *question_r, const uint8_t *bytes, size_t len);
/* Returns the length. What does not fit of the addresses is left out. */
size_t dns_answer_write(const struct dns_question *question, enum dns_code code,
    const struct in_addr *address, size_t n, uint32_t ttl_s, uint8_t bytes_r[DNS_MESSAGE_MAX]);

#endif
