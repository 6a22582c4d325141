/* route - does a path fit a pattern, and what stands where the pattern leaves a segment open? Pure. */
#ifndef ROUTER_ROUTE_H
#define ROUTER_ROUTE_H

#include <stdbool.h>

#define ROUTE_ARGUMENTS 2
#define ROUTE_NAME_MAX 64
#define ROUTE_ARGUMENT_MAX 255

/* As the path has them, nothing decoded; "" where the pattern has fewer. */
struct route_arguments {
	char text[ROUTE_ARGUMENTS][ROUTE_ARGUMENT_MAX + 1];
};

/* Open segments, ROUTE_ARGUMENTS at most, take one that is not empty: "*" of ROUTE_NAME_MAX bytes, longer ones are not found; "+" of ROUTE_ARGUMENT_MAX,
 * for handlers that say themselves what is wrong with one. Everything else is as it is written. */
bool route_matches(const char *pattern, const char *path, struct route_arguments *arguments_r);

#endif
