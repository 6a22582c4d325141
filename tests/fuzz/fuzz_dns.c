/* What containers and upstreams send to the resolver. The first byte chooses: a container's packet, or an upstream's answer to a question that the packet itself
 * holds (so that its records are reached). Whatever was read can be written within its bounds, and what we write we can read. */
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/sandbox/egress.h"
#include "services/sandbox/resolver_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool is_good)
{
	if (!is_good)
		abort();
}

static void check_reply(
    const struct resolver_question *question, const struct resolver_answer *answer)
{
	uint8_t reply[RESOLVER_REPLY_MAX], asked[RESOLVER_REPLY_MAX];
	struct resolver_answer again;
	struct resolver_question same;
	size_t len = resolver_wire_reply(question, RESOLVER_NOERROR, answer, reply);

	check(len >= 12 && len <= sizeof(reply));
	if (question->opcode != 0 || question->type != RESOLVER_A || question->class != RESOLVER_IN)
		return;
	check(resolver_wire_answer(reply, len, question->id, &question->name, &again));
	check(again.n == (answer->n < resolver_wire_room(question) ? answer->n
								   : resolver_wire_room(question)));
	check(memcmp(again.address, answer->address, again.n * sizeof(again.address[0])) == 0);
	len = resolver_wire_ask(question->id, &question->name, question->has_edns, asked);
	check(resolver_wire_question(asked, len, &same));
	check(strcmp(same.text, question->text) == 0 && same.has_edns == question->has_edns);
}

static void read_question(const uint8_t *packet, size_t len)
{
	static struct egress egress;
	struct resolver_question question;
	struct resolver_answer answer = {.ttl_s = 1, .n = RESOLVER_ADDRESSES_MAX};

	if (!egress.is_narrowed)
		egress_parse(&egress, (const uint8_t *)"a.example,*.b.example", 21, NULL);
	if (!resolver_wire_question(packet, len, &question))
		return;
	check(strlen(question.text) <= RESOLVER_TEXT_MAX);
	check(question.opcode != 0 ||
	      (question.name.len >= 1 && question.name.len <= RESOLVER_NAME_MAX));
	egress_allows(&egress, question.text);
	check_reply(&question, &answer);
}

static void read_answer(const uint8_t *packet, size_t len)
{
	struct resolver_name name = {0};
	struct resolver_answer answer;

	/* the question as it stands there */
	for (size_t at = 12;
	     at < len && packet[at] < 64 && name.len + packet[at] < RESOLVER_NAME_MAX;
	     at += 1 + (size_t)packet[at]) {
		size_t label = 1 + (size_t)packet[at];

		if (label > len - at)
			break;
		memcpy(name.bytes + name.len, packet + at, label);
		name.len += label;
		if (label == 1)
			break;
	}
	uint16_t id = len < 2 ? 0 : (uint16_t)(packet[0] << 8 | packet[1]);
	if (!resolver_wire_answer(packet, len, id, &name, &answer))
		return;
	check(answer.n <= RESOLVER_ADDRESSES_MAX && answer.rcode <= 15);
	check(answer.ttl_s <= INT32_MAX && (answer.n > 0 || answer.ttl_s == 0));
	check(answer.n == 0 || answer.rcode == RESOLVER_NOERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 1)
		return 0;
	/* of exactly that size, so that a read behind it is seen */
	scoped_free uint8_t *packet = malloc(size - 1 + (size == 1));
	memcpy(packet, bytes + 1, size - 1);
	if (bytes[0] % 2)
		read_answer(packet, size - 1);
	else
		read_question(packet, size - 1);
	return 0;
}
