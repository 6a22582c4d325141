#include "tests/unit/secret-vault/store_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/worker.h"
#include "tests/unit/common/scratch.h"

#define TASKS_MAX 1100

struct shop;
struct task {
	struct shop *shop;
	unsigned n;
	bool fails, breaks; /* gives up; has a statement that fails */
	struct error outcome;
	bool is_done, is_good;
	size_t turn; /* in which order it was worked on */
};
struct shop {
	char dir[40], store[112], marks[80];
	struct event_base *base;
	struct metrics *metrics;
	struct worker *worker;
	struct error err;
	pthread_t loop;
	struct task tasks[TASKS_MAX];
	size_t turns, ndone, queued_max;
	pthread_mutex_t gate; /* held: the worker waits in hold_gate */
	sigset_t signals;
};

static int open_shop(void **state)
{
	struct shop *shop = calloc(1, sizeof(*shop));

	assert_non_null(shop);
	snprintf(shop->dir, sizeof(shop->dir), "/tmp/mc-unit-worker-XXXXXX");
	assert_non_null(mkdtemp(shop->dir));
	if (*state == store_initial(&store_postgres)) {
		postgres_server_empty(store_server());
		snprintf(shop->store, sizeof(shop->store), "%s", store_server()->where);
	} else {
		snprintf(shop->store, sizeof(shop->store), "sqlite:%s/vault.db", shop->dir);
	}
	snprintf(shop->marks, sizeof(shop->marks), "%s/marks.db", shop->dir);
	shop->base = event_base_new();
	shop->metrics = metrics_new();
	shop->loop = pthread_self();
	shop->queued_max = TASKS_MAX;
	pthread_mutex_init(&shop->gate, NULL);
	for (unsigned i = 0; i < TASKS_MAX; i++)
		shop->tasks[i] = (struct task){.shop = shop, .n = i};
	*state = shop;
	return 0;
}

static void employ(struct shop *shop)
{
	const struct worker_config config = {shop->store, shop->marks, shop->queued_max};

	shop->worker = worker_new(shop->base, &config, shop->metrics, &shop->err);
	assert_non_null(shop->worker);
}

static int close_shop(void **state)
{
	struct shop *shop = *state;

	worker_destroy(&shop->worker);
	metrics_destroy(&shop->metrics);
	event_base_free(shop->base);
	scratch_remove(shop->dir);
	free(shop);
	return 0;
}

static bool run_until_done(struct shop *shop, size_t n, uint64_t ms)
{
	uint64_t until = clock_boot_ms() + ms;

	while (shop->ndone < n && clock_boot_ms() < until) {
		struct timeval tv = {.tv_usec = 5000};
		event_base_loopexit(shop->base, &tv);
		event_base_loop(shop->base, EVLOOP_ONCE);
	}
	return shop->ndone >= n;
}

static bool wait_until_ready(struct shop *shop, uint64_t ms)
{
	uint64_t until = clock_boot_ms() + ms;
	char why[200];

	while (!worker_is_ready(shop->worker, why, sizeof(why)) && clock_boot_ms() < until)
		usleep(2000);
	return worker_is_ready(shop->worker, why, sizeof(why));
}

/* ---- jobs ---- */

static const struct period period = {"asset", "wallet", 5};

static int write_own(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;
	char name[16];

	assert_false(pthread_equal(pthread_self(), task->shop->loop));
	assert_in_range(desk->now_ms, clock_unix_ms() - 5000, clock_unix_ms());
	task->turn = ++task->shop->turns;
	snprintf(name, sizeof(name), "task%u", task->n);
	if (store_set(desk->db, name, "x", 1, err) < 0 ||
	    highwater_raise(desk->highwater, &period, "llm", name, task->n + 1, err) < 0)
		return -1;
	if (task->breaks)
		return db_run(desk->db, "INSERT INTO settings (name, value) VALUES ('x', NULL)",
		    NULL, 0, NULL, NULL, NULL, err);
	if (task->fails)
		return error_set(err, ERR_NOT_FOUND, "task %u gives up", task->n);
	return 0;
}

static int find_own(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;
	uint8_t byte;
	size_t len = 0;
	uint64_t version = 0;
	char name[16];

	task->turn = ++task->shop->turns;
	snprintf(name, sizeof(name), "task%u", task->n);
	if (task->breaks)
		return db_run(
		    desk->db, "SELECT nothing FROM nowhere", NULL, 0, NULL, NULL, NULL, err);
	if (store_get(desk->db, name, &byte, 1, &len, err) < 0 ||
	    highwater_get(desk->highwater, &period, "llm", name, &version, err) < 0)
		return -1;
	if ((len > 0) != (version > 0))
		return error_set(err, ERR_INTERNAL, "store and mark differ for %s", name);
	return len > 0 ? 0 : error_set(err, ERR_NOT_FOUND, "no %s", name);
}

/* Signed by pthread_mutex in the test's hand: what is queued meanwhile makes one batch. */
static int hold_gate(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;

	(void)desk;
	(void)err;
	pthread_mutex_lock(&task->shop->gate);
	pthread_mutex_unlock(&task->shop->gate);
	return 0;
}

static void done(void *arg, const struct error *err)
{
	struct task *task = arg;

	assert_true(pthread_equal(pthread_self(), task->shop->loop));
	assert_false(task->is_done);
	task->is_done = true;
	task->is_good = !err;
	if (err)
		task->outcome = *err;
	task->shop->ndone++;
}

static void order(struct shop *shop, unsigned n, enum worker_kind kind, worker_work work)
{
	worker_do(shop->worker, kind, work, done, &shop->tasks[n]);
}

/* The worker is busy with task n until go_on. */
static void hold_up(struct shop *shop, unsigned n)
{
	pthread_mutex_lock(&shop->gate);
	worker_do_alone(shop->worker, hold_gate, done, &shop->tasks[n]);
	usleep(20000);
}

static void go_on(struct shop *shop)
{
	pthread_mutex_unlock(&shop->gate);
}

static uint64_t counted(struct shop *shop, const char *name)
{
	return metric_value(metrics_counter(shop->metrics, name, "", NULL));
}

/* ---- tests ---- */

static void many_jobs_share_a_commit(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	hold_up(shop, 0);
	for (unsigned i = 1; i <= 1000; i++)
		order(shop, i, WORKER_WRITE, write_own);
	assert_int_equal(shop->ndone, 0);
	go_on(shop);
	assert_true(run_until_done(shop, 1001, 20000));
	for (unsigned i = 1; i <= 1000; i++) {
		assert_true(shop->tasks[i].is_good);
		assert_int_equal(shop->tasks[i].turn, i);
	}
	assert_int_equal(counted(shop, "multiclaw_vault_jobs_total"), 1001);
	/* of 256 at most */
	assert_int_equal(counted(shop, "multiclaw_vault_batches_total"), 4);
	for (unsigned i = 1; i <= 3; i++) {
		shop->tasks[i].is_done = false;
		order(shop, i, WORKER_READ, find_own);
	}
	assert_true(run_until_done(shop, 1004, 5000));
	for (unsigned i = 1; i <= 3; i++)
		assert_true(shop->tasks[i].is_good);
}

static void a_job_that_fails_is_undone_alone(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	for (unsigned round = 0; round < 2; round++) {
		/* 1: in a batch; 2, alone in a transaction */
		unsigned first = round ? 10 : 1, n = round ? 1 : 5;
		shop->ndone = 0;
		hold_up(shop, round ? 20 : 0);
		for (unsigned i = first; i < first + n; i++) {
			shop->tasks[i].fails = i == 2 || i == 10;
			shop->tasks[i].breaks = i == 4;
			order(shop, i, WORKER_WRITE, write_own);
		}
		go_on(shop);
		assert_true(run_until_done(shop, n + 1, 5000));
		for (unsigned i = first; i < first + n; i++)
			assert_int_equal(shop->tasks[i].is_good, i != 2 && i != 4 && i != 10);
	}
	assert_int_equal(shop->tasks[2].outcome.code, ERR_NOT_FOUND);
	assert_string_equal(shop->tasks[2].outcome.text, "task 2 gives up");
	assert_string_equal(shop->tasks[4].outcome.reason, "storage_refused");
	shop->ndone = 0;
	for (unsigned i = 1; i <= 10; i++) {
		shop->tasks[i].is_done = false;
		shop->tasks[i].breaks = false;
		order(shop, i, WORKER_READ, find_own);
	}
	assert_true(run_until_done(shop, 10, 5000));
	for (unsigned i = 1; i <= 10; i++) {
		bool is_there = i == 1 || i == 3 || i == 5;
		assert_int_equal(shop->tasks[i].is_good, is_there);
		/* neither in the store nor in the marks */
		if (!is_there)
			assert_int_equal(shop->tasks[i].outcome.code, ERR_NOT_FOUND);
	}
	char why[64];
	assert_true(worker_is_ready(shop->worker, why, sizeof(why)));
}

static void a_read_that_fails_does_not_harm_the_others(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	order(shop, 1, WORKER_WRITE, write_own);
	assert_true(run_until_done(shop, 1, 5000));
	hold_up(shop, 0);
	for (unsigned i = 1; i <= 6; i++) {
		shop->tasks[i].n = 1;
		shop->tasks[i].is_done = false;
		shop->tasks[i].breaks = i == 3;
		order(shop, i, WORKER_READ, find_own);
	}
	go_on(shop);
	assert_true(run_until_done(shop, 8, 5000));
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(shop->tasks[i].is_good, i != 3);
	assert_int_equal(shop->tasks[3].outcome.code, ERR_INTERNAL);
}

static void reads_do_not_wait_for_a_commit_and_the_order_stays(void **state)
{
	struct shop *shop = *state;
	static const enum worker_kind kinds[] = {
	    WORKER_READ, WORKER_READ, WORKER_WRITE, WORKER_READ, WORKER_WRITE};

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	hold_up(shop, 0);
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		shop->tasks[i + 1].n = i == 3 ? 3 : i + 1;
		order(shop, i + 1, kinds[i], kinds[i] == WORKER_READ ? find_own : write_own);
	}
	go_on(shop);
	assert_true(run_until_done(shop, ARRAY_LEN(kinds) + 1, 5000));
	for (unsigned i = 1; i <= ARRAY_LEN(kinds); i++)
		assert_int_equal(shop->tasks[i].turn, i);
	/* what was written before it, it sees */
	assert_true(shop->tasks[4].is_good);
	assert_int_equal(counted(shop, "multiclaw_vault_batches_total"), 2);
}

static int begin_and_leave(void *arg, struct desk *desk, struct error *err)
{
	if (db_begin(desk->db, true, err) < 0)
		return -1;
	return write_own(arg, desk, err);
}

static int scrub(void *arg, struct desk *desk, struct error *err)
{
	(void)arg;
	return db_scrub(desk->db, "periods", &desk->traces, err);
}

static int raise_alone(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;
	static const uint8_t id[16] = {1};

	if (highwater_adopt(desk->highwater, id, err) < 0)
		return -1;
	return task->fails ? error_set(err, ERR_CONFLICT, "no") : 0;
}

static int find_adopted(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;
	uint8_t id[16];
	bool is_known;

	if (highwater_store(desk->highwater, id, &is_known, err) < 0)
		return -1;
	assert_int_equal(is_known, !task->fails);
	return 0;
}

static void a_job_alone_has_no_transaction_around_it(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	shop->tasks[1].fails = shop->tasks[4].fails = shop->tasks[5].fails = true;
	worker_do_alone(shop->worker, begin_and_leave, done, &shop->tasks[1]);
	worker_do_alone(shop->worker, scrub, done, &shop->tasks[2]);
	shop->tasks[3].n = 1;
	order(shop, 3, WORKER_READ, find_own);
	worker_do_alone(shop->worker, raise_alone, done, &shop->tasks[4]);
	worker_do_alone(shop->worker, find_adopted, done, &shop->tasks[5]);
	worker_do_alone(shop->worker, raise_alone, done, &shop->tasks[6]);
	worker_do_alone(shop->worker, find_adopted, done, &shop->tasks[7]);
	assert_true(run_until_done(shop, 7, 5000));
	assert_false(shop->tasks[1].is_good);
	assert_true(shop->tasks[2].is_good);
	assert_int_equal(shop->tasks[3].outcome.code, ERR_NOT_FOUND);
	assert_false(shop->tasks[4].is_good);
	assert_true(shop->tasks[5].is_good && shop->tasks[6].is_good && shop->tasks[7].is_good);
}

static void what_is_queued_is_done_before_the_end(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	for (unsigned i = 0; i < 700; i++)
		order(shop, i, i % 5 ? WORKER_WRITE : WORKER_READ, i % 5 ? write_own : find_own);
	assert_int_equal(shop->ndone, 0);
	worker_destroy(&shop->worker);
	assert_int_equal(shop->ndone, 700);
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(shop->tasks[i].is_good, i % 5 != 0);
	/* a second worker finds all of it */
	shop->ndone = 0;
	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	for (unsigned i = 0; i < 700; i++) {
		shop->tasks[i].is_done = false;
		order(shop, i, WORKER_READ, find_own);
	}
	assert_true(run_until_done(shop, 700, 5000));
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(shop->tasks[i].is_good, i % 5 != 0);
}

static void order_more(void *arg, const struct error *err)
{
	struct task *task = arg;

	done(arg, err);
	order(task->shop, task->n + 1, WORKER_WRITE, write_own);
}

static void a_job_ordered_while_it_ends_is_refused(void **state)
{
	struct shop *shop = *state;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	worker_do(shop->worker, WORKER_WRITE, write_own, order_more, &shop->tasks[1]);
	worker_destroy(&shop->worker);
	assert_int_equal(shop->ndone, 2);
	assert_true(shop->tasks[1].is_good);
	assert_int_equal(shop->tasks[2].outcome.code, ERR_UNAVAILABLE);
}

static void refuses_more_than_may_wait(void **state)
{
	struct shop *shop = *state;

	shop->queued_max = 10;
	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	hold_up(shop, 0);
	for (unsigned i = 1; i <= 15; i++)
		order(shop, i, WORKER_WRITE, write_own);
	/* never from inside worker_do */
	assert_int_equal(shop->ndone, 0);
	assert_true(run_until_done(shop, 5, 5000));
	for (unsigned i = 11; i <= 15; i++)
		assert_int_equal(shop->tasks[i].outcome.code, ERR_BUSY);
	go_on(shop);
	assert_true(run_until_done(shop, 16, 5000));
	for (unsigned i = 1; i <= 10; i++)
		assert_true(shop->tasks[i].is_good);
	assert_int_equal(counted(shop, "multiclaw_vault_jobs_refused_total"), 5);
}

static void a_storage_that_is_not_there_is_waited_for(void **state)
{
	struct shop *shop = *state;
	char why[200], later[64];

	snprintf(later, sizeof(later), "%s/later", shop->dir);
	snprintf(shop->store, sizeof(shop->store), "sqlite:%s/vault.db", later);
	employ(shop);
	order(shop, 1, WORKER_WRITE, write_own);
	order(shop, 2, WORKER_READ, find_own);
	worker_do_alone(shop->worker, scrub, done, &shop->tasks[3]);
	assert_true(run_until_done(shop, 3, 5000));
	for (unsigned i = 1; i <= 3; i++) {
		assert_unavailable(&shop->tasks[i].outcome);
		assert_non_null(strstr(shop->tasks[i].outcome.text, "vault.db"));
		shop->tasks[i].is_done = false;
	}
	assert_false(worker_is_ready(shop->worker, why, sizeof(why)));
	assert_non_null(strstr(why, "vault.db"));
	assert_int_equal(mkdir(later, 0700), 0);
	assert_true(wait_until_ready(shop, 3000));
	order(shop, 1, WORKER_WRITE, write_own);
	assert_true(run_until_done(shop, 4, 5000));
	assert_true(shop->tasks[1].is_good);
}

static void marks_that_cannot_be_opened_are_waited_for(void **state)
{
	struct shop *shop = *state;
	char why[200];

	assert_int_equal(close(open(shop->marks, O_CREAT | O_WRONLY, 0644)), 0);
	assert_int_equal(chmod(shop->marks, 0644), 0);
	employ(shop);
	order(shop, 1, WORKER_WRITE, write_own);
	assert_true(run_until_done(shop, 1, 5000));
	assert_unavailable(&shop->tasks[1].outcome);
	assert_false(worker_is_ready(shop->worker, why, sizeof(why)));
	assert_non_null(strstr(why, "marks.db"));
	assert_int_equal(chmod(shop->marks, 0600), 0);
	assert_true(wait_until_ready(shop, 3000));
}

static void a_server_that_goes_is_waited_for(void **state)
{
	struct shop *shop = *state;
	char why[200];

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	order(shop, 1, WORKER_WRITE, write_own);
	assert_true(run_until_done(shop, 1, 5000));
	postgres_server_kill(store_server());
	hold_up(shop, 0);
	order(shop, 2, WORKER_WRITE, write_own);
	order(shop, 3, WORKER_WRITE, write_own);
	go_on(shop);
	assert_true(run_until_done(shop, 4, 10000));
	assert_unavailable(&shop->tasks[2].outcome);
	assert_unavailable(&shop->tasks[3].outcome);
	assert_false(worker_is_ready(shop->worker, why, sizeof(why)));
	postgres_server_again(store_server());
	assert_true(wait_until_ready(shop, 5000));
	shop->ndone = 0;
	for (unsigned i = 1; i <= 3; i++) {
		shop->tasks[i].is_done = false;
		order(shop, i, WORKER_READ, find_own);
	}
	assert_true(run_until_done(shop, 3, 5000));
	assert_true(shop->tasks[1].is_good);
	/* the marks were forgotten with it */
	assert_int_equal(shop->tasks[2].outcome.code, ERR_NOT_FOUND);
	assert_int_equal(shop->tasks[3].outcome.code, ERR_NOT_FOUND);
}

static int fill_up(void *arg, struct desk *desk, struct error *err)
{
	static uint8_t much[65536];

	(void)arg;
	if (db_run(desk->db, "PRAGMA max_page_count = 20", NULL, 0, NULL, NULL, NULL, err) < 0)
		return -1;
	return store_set(desk->db, "much", much, sizeof(much), err);
}

static int make_room(void *arg, struct desk *desk, struct error *err)
{
	(void)arg;
	return db_run(desk->db, "PRAGMA max_page_count = 1000000", NULL, 0, NULL, NULL, NULL, err);
}

static void a_full_disk_is_said_until_there_is_room(void **state)
{
	struct shop *shop = *state;
	char why[200];

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	hold_up(shop, 0);
	order(shop, 1, WORKER_WRITE, write_own);
	order(shop, 2, WORKER_WRITE, fill_up);
	order(shop, 3, WORKER_WRITE, write_own);
	go_on(shop);
	assert_true(run_until_done(shop, 4, 5000));
	assert_unavailable(&shop->tasks[2].outcome);
	assert_false(worker_is_ready(shop->worker, why, sizeof(why)));
	assert_non_null(strstr(why, "full"));
	/* a little is still written, and so it is tried again */
	assert_true(wait_until_ready(shop, 3000));
	order(shop, 4, WORKER_READ, make_room);
	for (unsigned i = 1; i <= 3; i += 2) {
		bool was_good = shop->tasks[i].is_good;
		shop->tasks[i].is_done = false;
		order(shop, i, WORKER_READ, find_own);
		size_t n = shop->ndone;
		assert_true(run_until_done(shop, n + 1, 5000));
		assert_true(run_until_done(shop, i == 1 ? 6 : 7, 5000));
		assert_int_equal(shop->tasks[i].is_good, was_good);
	}
}

static int tell_signals(void *arg, struct desk *desk, struct error *err)
{
	struct task *task = arg;

	(void)desk;
	(void)err;
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &task->shop->signals), 0);
	return 0;
}

static void the_thread_takes_no_signal(void **state)
{
	struct shop *shop = *state;
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD};
	sigset_t own;

	employ(shop);
	assert_true(wait_until_ready(shop, 5000));
	order(shop, 1, WORKER_READ, tell_signals);
	assert_true(run_until_done(shop, 1, 5000));
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &own), 0);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		assert_int_equal(sigismember(&shop->signals, signals[i]), 1);
		assert_int_equal(sigismember(&own, signals[i]), 0);
	}
}

int main(void)
{
#define SHOP(test) \
	{ \
#test " (sqlite)", test, open_shop, close_shop, store_initial(&store_sqlite) \
	}
#define SHOPS(test) \
	SHOP(test), \
	{ \
#test " (postgres)", test, open_shop, close_shop, store_initial(&store_postgres) \
	}
#define SERVER(test) \
	{ \
#test " (postgres)", test, open_shop, close_shop, store_initial(&store_postgres) \
	}
	const struct CMUnitTest tests[] = {
	    SHOPS(many_jobs_share_a_commit),
	    SHOPS(a_job_that_fails_is_undone_alone),
	    SHOPS(a_read_that_fails_does_not_harm_the_others),
	    SHOPS(reads_do_not_wait_for_a_commit_and_the_order_stays),
	    SHOPS(a_job_alone_has_no_transaction_around_it),
	    SHOPS(what_is_queued_is_done_before_the_end),
	    SHOP(a_job_ordered_while_it_ends_is_refused),
	    SHOP(refuses_more_than_may_wait),
	    SHOP(a_storage_that_is_not_there_is_waited_for),
	    SHOP(marks_that_cannot_be_opened_are_waited_for),
	    SERVER(a_server_that_goes_is_waited_for),
	    SHOP(a_full_disk_is_said_until_there_is_room),
	    SHOP(the_thread_takes_no_signal),
	};

	log_open("test", "test-1", getenv("V") ? LOG_DEBUG : LOG_ERROR + 1);
	assert_true(sodium_init() >= 0);
	return cmocka_run_group_tests_name("worker", tests, store_server_up, store_server_down);
}
