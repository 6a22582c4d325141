/* entry_page - the page by which a browser comes onto an agent's origin: what it says, what it runs, and the policy that lets it run nothing else. */
#ifndef ROUTER_ENTRY_PAGE_H
#define ROUTER_ENTRY_PAGE_H

#include <stddef.h>

struct entry_page {
	char *html;
	size_t len;
	char policy[512]; /* Content-Security-Policy, with the hashes of its own script and style */
};
/* console: its origin, for the link back. */
void entry_page_init(struct entry_page *page, const char *console);
void entry_page_clear(struct entry_page *page);

#endif
