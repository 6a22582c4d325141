/* listen - a listening socket on the loopback address. */
#ifndef DEVCHAIN_LISTEN_H
#define DEVCHAIN_LISTEN_H

#include <event2/listener.h>
#include <stdint.h>

#include "common/error.h"

/* port 0: any free one; *port is the one taken. on_accept may be NULL, for a listener that is handed on. NULL on error. */
struct evconnlistener *listen_loopback(struct event_base *base, uint16_t *port,
    evconnlistener_cb on_accept, void *arg, struct error *err);

#endif
