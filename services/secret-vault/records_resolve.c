/* Where a provider's key comes from. */
#include <stdio.h>
#include <string.h>

#include "services/secret-vault/records.h"

#define PROVIDER_KIND "llm"

static const struct record_shown *find(const struct record_list *list, const char *provider)
{
	return list ? record_list_find(list, PROVIDER_KIND, provider) : NULL;
}

/* Of a global one it is only seen that it opens. */
static int resolve_global(struct desk *desk, const struct record_list *global, const char *provider,
    struct resolved *resolved_r, struct error *err)
{
	struct record record;

	if (!find(global, provider))
		return 0;
	if (records_read(desk, global->period, PROVIDER_KIND, provider, &record, err) != 0)
		return -1;
	if (record.found == RECORD_SET) {
		resolved_r->source = "global";
		resolved_r->delivery = "gateway";
	}
	secret_destroy(&record.value);
	return 0;
}

static bool is_set(const struct record_shown *item)
{
	return item && !item->deleted;
}

static int see_that_it_opens(struct desk *desk, const struct record_list *list,
    const struct record_shown *item, struct error *err)
{
	scoped_secret struct secret *value = records_read_listed(desk, list, item, err);

	return value ? 0 : -1;
}

int records_resolve(struct desk *desk, const struct record_list *own,
    const struct record_list *global, const char *provider, bool opens_own,
    struct resolved *resolved_r, struct error *err)
{
	const struct record_shown *mine = find(own, provider);

	*resolved_r = (struct resolved){.source = "none", .own = "none", .delivery = ""};
	if (is_set(mine)) {
		resolved_r->source = "user";
		resolved_r->own = "set";
		resolved_r->delivery = mine->is_as_file ? "file" : "gateway";
		snprintf(resolved_r->preview, sizeof(resolved_r->preview), "%.*s",
		    (int)sizeof(resolved_r->preview) - 1, mine->preview);
		return opens_own ? see_that_it_opens(desk, own, mine, err) : 0;
	}
	if (mine)
		resolved_r->own = "deleted";
	return resolve_global(desk, global, provider, resolved_r, err);
}
