/* warden - the root half of a host's container service: namespaces, links, mounts, cgroups, the OCI runtime. Knows no owner and no key of the suite; speaks to
 * sandbox alone (proto/warden.h). Not one of the daemons on the skeleton: no bus, no Redis. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/heap.h"
#include "common/log.h"
#include "common/service_internal.h"
#include "common/suite_settings.h"
#include "services/warden/warden.h"

/* What the reading of options asks of a service. */
static const struct service about = {
    .name = "warden",
    .about =
	"Makes, watches and ends agents' containers, for the sandbox of this host; needs root.",
    .settings = warden_settings_rows,
};

static void load(const struct service_options *options, struct settings_table tables[2])
{
	struct suite_settings *suite = tables[0].target;
	struct error err = {0};

	if (settings_load(tables, 2, options->files, options->nfiles, &err) != 0 ||
	    suite_settings_finish(suite, about.name, &err) != 0 ||
	    warden_settings_finish(tables[1].target, &err) != 0)
		fatal("%s", err.text);
	log_open(about.name, suite->replica, suite_settings_log_level(suite));
}

/* Keys of volumes and owners' secrets pass through: no dump, and nobody of the host's own users looks on. */
static void limit_self(const struct suite_settings *suite)
{
	const struct rlimit none = {0, 0};

	umask(0027);
	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
		fatal("core dumps cannot be forbidden: %s", strerror(errno));
	if (chdir(suite->state_dir) != 0)
		fatal("MULTICLAW_STATE_DIR %s: %s", suite->state_dir, strerror(errno));
	signal(SIGPIPE, SIG_IGN);
}

static void run(const struct warden_settings *settings)
{
	struct warden warden;
	struct error err = {0};

	if (warden_open(&warden, settings, &err) != 0)
		fatal("%s", err.text);
	log_info("started", "version", MULTICLAW_VERSION, "pid", log_u64((uint64_t)getpid()),
	    "listen", settings->listen, "runtime", warden.host.runtime.name, "agents",
	    log_u64(warden.nagents));
	service_notify("READY=1");
	warden_run(&warden);
	service_notify("STOPPING=1");
	warden_close(&warden);
	log_info("stopped");
}

int main(int argc, char **argv)
{
	struct service_options options = {0};
	struct suite_settings suite = {0};
	struct warden_settings settings = {0};
	struct settings_table tables[] = {{&suite, suite_settings_rows, suite_settings_nrows},
	    {&settings, warden_settings_rows, warden_settings_nrows}};
	struct service service = about;

	heap_wipe_freed();
	log_open(about.name, NULL, LOG_INFO);
	if (sodium_init() < 0)
		fatal("cannot initialise the cryptographic library");
	service.nsettings = warden_settings_nrows;
	int status = service_options_read(&service, argc, argv, &options);
	if (status >= 0)
		return status;
	load(&options, tables);
	if (!options.check_only) {
		limit_self(&suite);
		run(&settings);
	}
	settings_free(tables, ARRAY_LEN(tables));
	libevent_global_shutdown();
	return 0;
}
