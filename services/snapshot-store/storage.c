#include "services/snapshot-store/storage.h"

struct storage *storage_new(const struct store_settings *settings, struct error *err)
{
	return store_settings_is_s3(settings) ? storage_s3_new(settings, err)
					      : storage_file_new(settings);
}

int storage_ready(struct storage *storage, struct error *err)
{
	return storage->ops->ready(storage, err);
}

void storage_destroy(struct storage **storage)
{
	if (*storage)
		(*storage)->ops->destroy(*storage);
	*storage = NULL;
}
