#include "common/shortvec.h"

size_t shortvec_put(uint16_t value, uint8_t bytes_r[SHORTVEC_MAX])
{
	size_t n = 0;

	for (; value > 0x7f; value = (uint16_t)(value >> 7))
		bytes_r[n++] = (uint8_t)(value | 0x80);
	bytes_r[n++] = (uint8_t)value;
	return n;
}

size_t shortvec_get(const uint8_t *bytes, size_t len, uint16_t *value_r)
{
	uint32_t value = 0;

	for (size_t i = 0; i < len && i < SHORTVEC_MAX; i++) {
		value |= (uint32_t)(bytes[i] & 0x7f) << (7 * i);
		if (bytes[i] & 0x80)
			continue;
		/* a last byte of 0 adds nothing: there is a shorter form */
		if (value > UINT16_MAX || (i > 0 && bytes[i] == 0))
			return 0;
		*value_r = (uint16_t)value;
		return i + 1;
	}
	return 0;
}
