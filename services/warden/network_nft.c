#include "services/warden/network_internal.h"

#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

void network_nft_close(struct nft_ctx **nft)
{
	if (*nft)
		nft_ctx_free(*nft);
	*nft = NULL;
}
#define scoped_nft __attribute__((cleanup(network_nft_close)))

struct nft_ctx *network_nft_open(struct error *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

	if (nft && nft_ctx_buffer_error(nft) == 0 && nft_ctx_buffer_output(nft) == 0)
		return nft;
	network_nft_close(&nft);
	error_set(err, ERR_UNAVAILABLE, "no access to nftables");
	return NULL;
}

static int run(struct nft_ctx *nft, const char *commands, enum error_code code, struct error *err)
{
	if (nft_run_cmd_from_buffer(nft, commands) == 0)
		return 0;
	const char *why = nft_ctx_get_error_buffer(nft);
	return error_set(err, code, "nftables: %.*s", (int)strcspn(why, "\n"), why);
}

int network_nft_run(const char *commands, struct error *err)
{
	scoped_nft struct nft_ctx *nft = network_nft_open(err);

	return nft ? run(nft, commands, ERR_UNAVAILABLE, err) : -1;
}

int network_nft_list(struct nft_ctx *nft, const char *prefix, char **text_r, struct error *err)
{
	char command[48];

	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_TERSE);
	snprintf(command, sizeof(command), "list table inet %s_agents", prefix);
	if (run(nft, command, ERR_NOT_FOUND, err) != 0)
		return -1;
	*text_r = strdup(nft_ctx_get_output_buffer(nft));
	bug_if(!*text_r);
	return 0;
}
