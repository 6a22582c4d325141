/* packet - what sandbox says (proto/warden.h), checked before anything is done with it. */
#ifndef WARDEN_PACKET_H
#define WARDEN_PACKET_H

#include <stdbool.h>

#include "common/error.h"
#include "proto/warden.h"

/* Is it a request, whole and in its own form? nfds: descriptors beside it. ERR_INVALID. Numbers out of range are cut to what can be meant. */
int packet_check(struct warden_packet *packet, size_t nfds, struct error *err);
/* Is size bytes at text a NUL-terminated text of min..max bytes of letters, with zeros behind? */
bool packet_is_text(const char *text, size_t size, size_t min, const char *letters);
/* Copies text, cut to what fits. */
void packet_put(char *to, size_t size, const char *text);

#endif
