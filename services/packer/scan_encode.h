/* scan_encode - every form in which one secret is looked for. Of a value that is longer than a form's pattern can hold, the part that looks most random is taken, the last of such parts (what stands at
 * the front is often the same in many: "sk-ant-api03-", a JWT's header, the start of a DER).
 */
#ifndef PACKER_SCAN_ENCODE_H
#define PACKER_SCAN_ENCODE_H

#include "services/packer/scan_patterns.h"

/* Text (UTF-8 without NUL) in all forms; anything else as it is, base64 and hex. */
void scan_encode(struct patterns *patterns, uint32_t name, const uint8_t *bytes, size_t len);
/* Offset of the part of want bytes that looks most random; 0 if there are no more. is_good_r (may be NULL): it does look random, more so than prose or source code. */
size_t scan_encode_window(const uint8_t *bytes, size_t len, size_t want, bool *is_good_r);

#endif
