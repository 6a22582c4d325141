/* probe - does a container accept connections yet? */
#ifndef WARDEN_PROBE_H
#define WARDEN_PROBE_H

#include <netinet/in.h>
#include <stdint.h>

#include "common/error.h"

/* Asks again and again, at first every millisecond, until it does. ERR_TIMEOUT: not within timeout_ms; ERR_UNAVAILABLE: the process at pidfd ended before. */
int probe_wait(
    struct in_addr address, uint16_t port, int pidfd, uint64_t timeout_ms, struct error *err);

#endif
