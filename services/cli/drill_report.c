#include "services/cli/drill_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "services/cli/cli.h"

#define FAILURES_MAX 100
#define BAR 40

void drill_report_open(struct drill_report *report, bool json, bool read_only)
{
	*report =
	    (struct drill_report){.json = json, .read_only = read_only, .failures = json_array()};
}

void drill_report_close(struct drill_report *report)
{
	json_decref(report->failures);
	report->failures = NULL;
}

void drill_report_line(const struct drill_report *report, const char *fmt, ...)
{
	va_list args;

	if (report->json)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void drill_report_failure(struct drill_report *report, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (json_array_size(report->failures) < FAILURES_MAX)
		json_array_append_new(report->failures, json_string(text));
	drill_report_line(report, "  %s", text);
}

void drill_report_point(struct drill_report *report, const struct prober *prober, size_t point,
    const struct drill_verdict *verdict)
{
	struct drill_verdict *total = &report->total[point];
	const char *name = prober_name(prober, point);
	double ms = (double)verdict->enforced_us / 1000;

	total->allowed += verdict->allowed;
	total->denied += verdict->denied;
	total->closed += verdict->closed;
	total->silent += verdict->silent;
	total->stale += verdict->stale;
	report->enforced[point] += verdict->enforced;
	report->late[point] += verdict->late;
	report->lost[point] += verdict->lost;
	if (verdict->enforced)
		latency_add(&report->latency, verdict->enforced_us);
	if (verdict->late)
		drill_report_failure(report,
		    "round %zu: %s was late: refused %.1f ms after the event", report->rounds, name,
		    ms);
	if (verdict->lost)
		drill_report_failure(
		    report, "round %zu: %s lost it: never refused", report->rounds, name);
	if (verdict->stale)
		drill_report_failure(report,
		    "round %zu: %s was stale: %zu allows, the last %.1f ms after the event",
		    report->rounds, name, verdict->stale, (double)verdict->worst_us / 1000);
}

void drill_report_outages(struct drill_report *report, const struct outages *outages)
{
	for (size_t i = 0; i < outages->len; i++) {
		const struct outage *outage = &outages->item[i];
		if (!outage->was_signalled)
			continue;
		report->stopped += outage->pause_ms > 0;
		report->killed += outage->pause_ms == 0;
		if (outage->pause_ms)
			drill_report_line(
			    report, "  %s was stopped for %u ms", outage->name, outage->pause_ms);
		else
			drill_report_line(report, "  %s was killed", outage->name);
	}
}

static size_t sum(const size_t counts[PROBER_POINTS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < PROBER_POINTS_MAX; i++)
		n += counts[i];
	return n;
}

static size_t stale(const struct drill_report *report)
{
	size_t n = 0;

	for (size_t i = 0; i < PROBER_POINTS_MAX; i++)
		n += report->total[i].stale;
	return n;
}

bool drill_report_held(const struct drill_report *report)
{
	return !sum(report->late) && !sum(report->lost) && !stale(report) && !report->shut_out;
}

/* ---- for people ---- */

/* A row for each doubling: the buckets themselves are in the JSON. */
static void print_histogram(const struct latency *latency)
{
	uint64_t from_us = 0, most = 1, rows[48] = {0};

	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t us = latency_upto_us(i);
		size_t row = us ? 63 - (size_t)__builtin_clzll(us) : 0;
		rows[row] += latency->bucket[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		most = rows[i] > most ? rows[i] : most;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++, from_us = 1ull << i)
		if (rows[i])
			printf("  %10.3f .. %10.3f ms %7" PRIu64 "  %.*s\n", (double)from_us / 1000,
			    (double)(2ull << i) / 1000, rows[i],
			    (int)((rows[i] * BAR + most - 1) / most),
			    "########################################");
}

static void print_latency(const char *what, const struct latency *latency)
{
	if (latency->n)
		printf("%-22s p50 %.1f ms  p99 %.1f ms  max %.1f ms  (%" PRIu64 ")\n", what,
		    (double)latency_quantile(latency, 500) / 1000,
		    (double)latency_quantile(latency, 990) / 1000, (double)latency->max_us / 1000,
		    latency->n);
}

static const char *summary(const struct drill_report *report, bool could_run)
{
	if (!drill_report_held(report))
		return "The promise was NOT held.";
	if (!could_run || !report->events)
		return "It cannot be told whether the promise holds.";
	return "The promise held.";
}

static void print_text(
    const struct drill_report *report, const struct prober *prober, bool could_run)
{
	printf("\n%-16s %9s %6s %6s %6s %9s %9s %8s %8s\n", "point", "enforced", "late", "stale",
	    "lost", "allowed", "refused", "closed", "silent");
	for (size_t i = 0; i < prober_points(prober); i++) {
		const struct drill_verdict *total = &report->total[i];
		printf("%-16s %9zu %6zu %6zu %6zu %9zu %9zu %8zu %8zu\n", prober_name(prober, i),
		    report->enforced[i], report->late[i], total->stale, report->lost[i],
		    total->allowed, total->denied, total->closed, total->silent);
	}
	printf("\nevents %zu   late %zu   stale %zu   lost %zu", report->events, sum(report->late),
	    stale(report), sum(report->lost));
	if (!report->read_only)
		printf("   new owners in %zu of %zu", report->signed_in,
		    report->signed_in + report->shut_out);
	printf("\n");
	print_latency(
	    report->read_only ? "logout -> refused" : "transfer -> refused", &report->latency);
	print_histogram(&report->latency);
	print_latency("a decision", &report->decision);
	printf("%s%s\n", report->interrupted ? "Interrupted. " : "", summary(report, could_run));
}

/* ---- for programs ---- */

static json_t *latency_json(const struct latency *latency)
{
	json_t *buckets = json_array();

	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		if (latency->bucket[i])
			json_array_append_new(
			    buckets, json_pack("{sI sI}", "upto_us", (json_int_t)latency_upto_us(i),
					 "n", (json_int_t)latency->bucket[i]));
	return json_pack("{sI sI sI sI so}", "n", (json_int_t)latency->n, "p50_us",
	    (json_int_t)latency_quantile(latency, 500), "p99_us",
	    (json_int_t)latency_quantile(latency, 990), "max_us", (json_int_t)latency->max_us,
	    "buckets", buckets);
}

static json_t *point_json(const struct drill_report *report, const struct prober *prober, size_t i)
{
	const struct drill_verdict *total = &report->total[i];

	return json_pack("{ss sI sI sI sI sI sI sI sI}", "point", prober_name(prober, i),
	    "enforced", (json_int_t)report->enforced[i], "late", (json_int_t)report->late[i],
	    "stale", (json_int_t)total->stale, "lost", (json_int_t)report->lost[i], "allowed",
	    (json_int_t)total->allowed, "refused", (json_int_t)total->denied, "closed",
	    (json_int_t)total->closed, "silent", (json_int_t)total->silent);
}

static void print_json(
    const struct drill_report *report, const struct prober *prober, bool could_run)
{
	json_t *points = json_array();

	for (size_t i = 0; prober && i < prober_points(prober); i++)
		json_array_append_new(points, point_json(report, prober, i));
	cli_print_json(json_pack("{sb sb sb sb sI sI sI sI sI sI sI sI sI sI so sO so so}", "held",
	    drill_report_held(report) && could_run && report->events, "could_run", could_run,
	    "read_only", report->read_only, "interrupted", report->interrupted, "bound_ms",
	    (json_int_t)report->bound_ms, "rounds", (json_int_t)report->rounds, "events",
	    (json_int_t)report->events, "late", (json_int_t)sum(report->late), "stale",
	    (json_int_t)stale(report), "lost", (json_int_t)sum(report->lost), "signed_in",
	    (json_int_t)report->signed_in, "shut_out", (json_int_t)report->shut_out, "killed",
	    (json_int_t)report->killed, "stopped", (json_int_t)report->stopped, "points", points,
	    "failures", report->failures, "latency", latency_json(&report->latency), "decision",
	    latency_json(&report->decision)));
}

void drill_report_print(
    const struct drill_report *report, const struct prober *prober, bool could_run)
{
	if (report->json)
		print_json(report, prober, could_run);
	else
		print_text(report, prober, could_run);
}
