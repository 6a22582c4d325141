/* fields - which header fields pass, in each direction. Pure. Sources: RFC 9110 section 5 and 7.6.1, RFC 9112 section 6. */
#ifndef LLM_GATEWAY_FIELDS_H
#define LLM_GATEWAY_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/providers.h"

/* A token; printable bytes, spaces and tabs. */
bool fields_is_name(const char *name, size_t len);
bool fields_is_value(const char *value, size_t len);
/* Is it on a comma list, in whatever case? */
bool fields_lists(const char *list, const char *name);
/* May a client's field go to the provider? Not those of one hop, not what gives or stands for a credential of the provider or of anybody, not what asks for a
 * part or an encoding of the answer (it is searched for the key), not what some servers take for another method or path than was judged. connection: value of the client's Connection, "" if it sent none. */
bool fields_go_up(const char *name, const char *connection, const struct provider *provider);
/* And a provider's to the client? */
bool fields_go_down(const char *name, const char *connection);
/* Does this one hold what the client is known by? Then *token_r is what stands in it, behind "Bearer ". */
bool fields_hold_token(const char *name, const char *value, const char **token_r);

#endif
