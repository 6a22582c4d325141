/* An answer that goes by. Cut in two it counts as in one; a count is never more than what is believed, a model's name is one. First byte: whether it is events, second: where it is cut. */
#include <stdlib.h>
#include <string.h>

#include "services/llm-gateway/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct usage whole = {0}, cut = {0};
	uint64_t input[2], output[2];

	if (size < 2)
		return 0;
	size_t at = bytes[1] * (size - 2) / 255;
	usage_begin(&whole, bytes[0] & 1);
	usage_begin(&cut, bytes[0] & 1);
	usage_feed(&whole, bytes + 2, size - 2);
	usage_feed(&cut, bytes + 2, at);
	usage_feed(&cut, bytes + 2 + at, size - 2 - at);
	bool has = usage_tokens(&whole, &input[0], &output[0]);
	if (usage_tokens(&cut, &input[1], &output[1]) != has || input[0] != input[1] ||
	    output[0] != output[1] || strcmp(usage_model(&whole), usage_model(&cut)) != 0)
		abort();
	if (input[0] > 3ull * USAGE_TOKENS_MAX || output[0] > 2ull * USAGE_TOKENS_MAX ||
	    strlen(usage_model(&whole)) > USAGE_MODEL_MAX)
		abort();
	return 0;
}
