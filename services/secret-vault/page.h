/* page - one page of the files that a starting container gets, and the audit entries that are written before it leaves. */
#ifndef SECRET_VAULT_PAGE_H
#define SECRET_VAULT_PAGE_H

#include "services/secret-vault/asking.h"
#include "services/secret-vault/file_name.h"

#define PAGE_FILES_MAX 64

/* In the worker's thread: work of vault.materialise. asking->extra is a struct file_name: the secret that the page before ended with. */
int page_work(struct asking *asking, struct desk *desk, struct error *err);

#endif
