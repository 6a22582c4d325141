/* snapshot-store - keeps snapshots: moves what is encrypted between a pipe and a folder or an S3-compatible service. Has the storage's credentials and speaks to
 * sandbox alone (proto/store.h). Not one of the daemons on the skeleton: no bus, no Redis, no key of the suite. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/heap.h"
#include "common/log.h"
#include "common/service_internal.h"
#include "common/suite_settings.h"
#include "services/snapshot-store/snapshot_store.h"

/* What the reading of options asks of a service. */
static const struct service about = {
    .name = "snapshot-store",
    .about =
	"Keeps snapshots of agents in a folder or in object storage, for the sandbox of this host.",
    .settings = store_settings_rows,
};

static void load(const struct service_options *options, struct settings_table tables[2])
{
	struct suite_settings *suite = tables[0].target;
	struct error err = {0};

	if (settings_load(tables, 2, options->files, options->nfiles, &err) != 0 ||
	    suite_settings_finish(suite, about.name, &err) != 0 ||
	    store_settings_finish(tables[1].target, &err) != 0)
		fatal("%s", err.text);
	log_open(about.name, suite->replica, suite_settings_log_level(suite));
}

static void run(const struct suite_settings *suite, const struct store_settings *settings)
{
	struct snapshot_store store;
	struct error err = {0};

	umask(0027);
	signal(SIGPIPE, SIG_IGN);
	if (chdir(suite->state_dir) != 0)
		fatal("MULTICLAW_STATE_DIR %s: %s", suite->state_dir, strerror(errno));
	if (confine_early(&err) != 0 ||
	    (suite->user[0] ? confine_group(suite->user, &err) : confine_capabilities(&err)) != 0 ||
	    snapshot_store_open(&store, suite, settings, &err) != 0 ||
	    confine(suite->user, false, &err) != 0 || snapshot_store_ready(&store, &err) != 0)
		fatal("%s", err.text);
	log_info("started", "version", MULTICLAW_VERSION, "pid", log_u64((uint64_t)getpid()),
	    "listen", settings->socket, "storage", store.storage->name);
	service_notify("READY=1");
	snapshot_store_run(&store);
	service_notify("STOPPING=1");
	snapshot_store_close(&store);
	log_info("stopped");
}

int main(int argc, char **argv)
{
	struct service_options options = {0};
	struct suite_settings suite = {0};
	struct store_settings settings = {0};
	struct settings_table tables[] = {{&suite, suite_settings_rows, suite_settings_nrows},
	    {&settings, store_settings_rows, store_settings_nrows}};
	struct service service = about;

	heap_wipe_freed();
	log_open(about.name, NULL, LOG_INFO);
	if (sodium_init() < 0)
		fatal("cannot initialise the cryptographic library");
	service.nsettings = store_settings_nrows;
	int status = service_options_read(&service, argc, argv, &options);
	if (status >= 0)
		return status;
	load(&options, tables);
	if (!options.check_only)
		run(&suite, &settings);
	settings_free(tables, ARRAY_LEN(tables));
	libevent_global_shutdown();
	return 0;
}
