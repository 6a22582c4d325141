/* site - are agents kept apart by browsers? SameSite does nothing between names of one registrable domain, so in production the agents'
 * domain is one of its own and on the Public Suffix List (https://publicsuffix.org), which makes each agent a site by itself. */
#ifndef ROUTER_SITE_H
#define ROUTER_SITE_H

/* Both as "name[:port]". A sentence about what is wrong, or NULL if nothing is; names that mean this machine need no list. */
const char *site_objection(const char *console, const char *agents);

#endif
