#include "services/warden/network_internal.h"

#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <string.h>

static void scoped_nfct_fn(struct nfct_handle **handle)
{
	if (*handle)
		nfct_close(*handle);
}
#define scoped_nfct __attribute__((cleanup(scoped_nfct_fn)))

struct hunt {
	struct nfct_handle *deleter;
	struct in_addr address;
	int error;
};

static bool has_address(const struct nf_conntrack *entry, struct in_addr address)
{
	static const enum nf_conntrack_attr ends[] = {
	    ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV4_DST, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV4_DST};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (nfct_get_attr_u32(entry, ends[i]) == address.s_addr)
			return true;
	return false;
}

static int on_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *entry, void *arg)
{
	struct hunt *hunt = arg;

	(void)type;
	if (has_address(entry, hunt->address) &&
	    nfct_query(hunt->deleter, NFCT_Q_DESTROY, entry) != 0 && errno != ENOENT)
		hunt->error = errno;
	return NFCT_CB_CONTINUE;
}

int network_conntrack_forget(struct in_addr address, struct error *err)
{
	scoped_nfct struct nfct_handle *lister = nfct_open(CONNTRACK, 0);
	scoped_nfct struct nfct_handle *deleter = nfct_open(CONNTRACK, 0);
	struct hunt hunt = {deleter, address, 0};
	uint32_t family = AF_INET;

	if (!lister || !deleter ||
	    nfct_callback_register(lister, NFCT_T_ALL, on_entry, &hunt) != 0 ||
	    nfct_query(lister, NFCT_Q_DUMP, &family) != 0)
		hunt.error = errno;
	if (hunt.error != 0)
		return error_set(err, ERR_UNAVAILABLE, "conntrack's entries of %s: %s",
		    network_text_of(address).s, strerror(hunt.error));
	return 0;
}
