#include "tests/devchain/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

struct evconnlistener *listen_loopback(struct event_base *base, uint16_t *port,
    evconnlistener_cb on_accept, void *arg, struct error *err)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons(*port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	struct evconnlistener *listener = evconnlistener_new_bind(base, on_accept, arg,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
	    (const struct sockaddr *)&address, sizeof(address));

	if (!listener) {
		error_set(err, ERR_UNAVAILABLE, "cannot listen on 127.0.0.1:%u: %s", *port,
		    strerror(errno));
		return NULL;
	}
	bug_if(
	    getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &len) != 0);
	*port = ntohs(address.sin_port);
	return listener;
}
