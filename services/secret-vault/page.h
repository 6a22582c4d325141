/* page - one page of the files that a starting container gets, and the audit entries that are written before it leaves. */
#ifndef SECRET_VAULT_PAGE_H
#define SECRET_VAULT_PAGE_H

#include "services/secret-vault/asking.h"

#define PAGE_FILES_MAX 64
#define PAGE_CHANNELS "channels.json"
#define PAGE_GATEWAY_TOKEN "gateway-token"

/* Where a page begins: after the record of this kind and name, "" and "" for the first. */
struct page_cursor {
	char kind[8 + 1], name[64 + 1];
};
/* From the path of the last file of the page before. ERR_INVALID. */
int page_cursor_parse(const struct providers *providers, const char *path,
    struct page_cursor *cursor_r, struct error *err);
/* In the worker's thread: work of vault.materialise. asking->extra is a struct page_cursor. */
int page_work(struct asking *asking, struct desk *desk, struct error *err);

#endif
