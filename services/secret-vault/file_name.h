/* file_name - where a secret is in a container's folder: kind and name to a path, and back.
 *
 *	llm/<provider> -> llm/<FIRST_ENVIRONMENT_VARIABLE>, wallet/hot -> wallet/hot.json, others as they are called; bot tokens that belong to a channel are
 *	no files of their own (channels.h)
 */
#ifndef SECRET_VAULT_FILE_NAME_H
#define SECRET_VAULT_FILE_NAME_H

#include "common/providers.h"

#define FILE_CHANNELS "channels.json"
#define FILE_GATEWAY_TOKEN "gateway-token"
#define FILE_HOT_WALLET \
	"wallet/hot.json" /* Solana's command line format: the 64 bytes as numbers */
#define FILE_PATH_MAX 128

/* Of a secret; "" and "" is before all of them. */
struct file_name {
	char kind[8 + 1], name[64 + 1];
};
/* By kind, then name, byte by byte, whatever order a database keeps texts in. For qsort. */
int file_name_compare(const void *left, const void *right);
/* False: it is no file of its own, or its provider is not known any more. */
bool file_name_path(const struct providers *providers, const struct file_name *name,
    char path_r[FILE_PATH_MAX + 1]);
/* Which secret a path stands for; the two files that are made anew at each start come before all secrets. ERR_INVALID page_invalid. */
int file_name_parse(const struct providers *providers, const char *path, struct file_name *name_r,
    struct error *err);

#endif
