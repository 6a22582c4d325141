/* storage - where objects are kept: a folder or an S3-compatible service, behind one set of functions. */
#ifndef SNAPSHOT_STORE_STORAGE_H
#define SNAPSHOT_STORE_STORAGE_H

#include "services/snapshot-store/store_settings.h"
#include "services/snapshot-store/transfer.h"

struct storage;
/* The four requests block, and are called from any number of threads at one time, each with a transfer of its own whose key has been checked. 0, or -1
 * after transfer_fail. */
struct storage_ops {
	int (*ready)(struct storage *storage, struct error *err);
	int (*put)(struct storage *storage, struct transfer *transfer);
	int (*get)(struct storage *storage, struct transfer *transfer);
	int (*remove)(struct storage *storage, struct transfer *transfer);
	int (*sweep)(struct storage *storage, struct transfer *transfer);
	void (*destroy)(struct storage *storage);
};
struct storage { /* begins the struct of each kind */
	const struct storage_ops *ops;
	char name[160]; /* for people */
};

/* While still privileged: reads credentials. Caller owns the result; NULL with *err. settings must outlive it. */
struct storage *storage_new(const struct store_settings *settings, struct error *err);
/* As the user that it will be: opens what is on this host, and removes what an earlier run left half done. */
int storage_ready(struct storage *storage, struct error *err);
/* No request may be running. */
void storage_destroy(struct storage **storage);

struct storage *storage_file_new(const struct store_settings *settings);
struct storage *storage_s3_new(const struct store_settings *settings, struct error *err);

#endif
