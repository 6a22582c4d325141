/* text - words of agents, of images and of the storage's service, which may be any bytes: made text that the bus, a record and a terminal take. Pure. */
#ifndef SANDBOX_TEXT_H
#define SANDBOX_TEXT_H

#include <stddef.h>

/* UTF-8 stays; a byte that is none, or is of a character that deceives who reads it (log_is_deceptive), becomes '?'. Cut to whole characters that fit into size bytes with the NUL. text may be buf. */
void text_copy(char *buf, size_t size, const char *text);

#endif
