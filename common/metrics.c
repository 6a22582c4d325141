#include "common/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define SERIES_MAX 1024
#define SLOTS (SERIES_MAX * 2) /* of the hash table: at most half full */

enum kind { COUNTER, GAUGE, GAUGE_FN, HISTOGRAM };

static const uint64_t bounds_us[] = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

struct metric {
	uint64_t count;
	double value; /* gauges */
	bool is_gauge;
};

struct histogram {
	uint64_t in_bucket[ARRAY_LEN(bounds_us) + 1];
	uint64_t sum_us;
};

/* Everything under one name: Prometheus wants it in one block. */
struct family {
	struct family *next;
	char *name, *help;
	enum kind kind;
	struct series *first, **last;
};

struct series {
	struct series *next;
	struct family *family;
	char *labels;
	struct metric metric;
	struct histogram histogram;
	double (*read)(void *);
	void *arg;
};

struct metrics {
	struct family *families, **last;
	size_t nseries;
	struct series *slot[SLOTS];
	struct metric overflow_metric;
	struct histogram overflow_histogram;
	uint64_t overflowed;
};

static char *copy(const char *text)
{
	char *made = strdup(text);

	bug_if(!made);
	return made;
}

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	bug_if(!metrics);
	metrics->last = &metrics->families;
	return metrics;
}

static void free_family(struct family *family)
{
	while (family->first) {
		struct series *series = family->first;
		family->first = series->next;
		free(series->labels);
		free(series);
	}
	free(family->name);
	free(family->help);
	free(family);
}

void metrics_destroy(struct metrics **metrics)
{
	if (!*metrics)
		return;
	while ((*metrics)->families) {
		struct family *family = (*metrics)->families;
		(*metrics)->families = family->next;
		free_family(family);
	}
	free(*metrics);
	*metrics = NULL;
}

static size_t hash(const char *name, const char *labels)
{
	uint64_t h = 14695981039346656037U; /* FNV-1a: the names are our own */

	for (const char *c = name; *c; c++)
		h = (h ^ (unsigned char)*c) * 1099511628211U;
	h = (h ^ '{') * 1099511628211U;
	for (const char *c = labels; *c; c++)
		h = (h ^ (unsigned char)*c) * 1099511628211U;
	return (size_t)(h ^ h >> 32) % SLOTS;
}

static struct family *family_of(
    struct metrics *metrics, const char *name, const char *help, enum kind kind)
{
	struct family *family = metrics->families;

	while (family && strcmp(family->name, name) != 0)
		family = family->next;
	if (family)
		return family;
	family = calloc(1, sizeof(*family));
	bug_if(!family);
	*family = (struct family){.name = copy(name), .help = copy(help), .kind = kind};
	family->last = &family->first;
	*metrics->last = family;
	metrics->last = &family->next;
	return family;
}

/* The series of that name and labels, made if there is none; NULL when the registry is full. */
static struct series *series_of(
    struct metrics *metrics, const char *name, const char *help, const char *labels, enum kind kind)
{
	size_t at = hash(name, labels ? labels : "");

	for (; metrics->slot[at]; at = (at + 1) % SLOTS) {
		struct series *series = metrics->slot[at];
		if (strcmp(series->family->name, name) != 0 ||
		    strcmp(series->labels, labels ? labels : "") != 0)
			continue;
		bug_if(series->family->kind != kind);
		return series;
	}
	if (metrics->nseries == SERIES_MAX) {
		metrics->overflowed++;
		return NULL;
	}
	struct series *series = calloc(1, sizeof(*series));
	bug_if(!series);
	series->family = family_of(metrics, name, help, kind);
	bug_if(series->family->kind != kind);
	series->labels = copy(labels ? labels : "");
	series->metric.is_gauge = kind == GAUGE;
	*series->family->last = series;
	series->family->last = &series->next;
	metrics->slot[at] = series;
	metrics->nseries++;
	return series;
}

struct metric *metrics_counter(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	struct series *series = series_of(metrics, name, help, labels, COUNTER);

	return series ? &series->metric : &metrics->overflow_metric;
}

struct metric *metrics_gauge(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	struct series *series = series_of(metrics, name, help, labels, GAUGE);

	return series ? &series->metric : &metrics->overflow_metric;
}

void metrics_gauge_fn(struct metrics *metrics, const char *name, const char *help,
    const char *labels, double (*read)(void *), void *arg)
{
	struct series *series = series_of(metrics, name, help, labels, GAUGE_FN);

	if (series) {
		series->read = read;
		series->arg = arg;
	}
}

struct histogram *metrics_histogram(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	struct series *series = series_of(metrics, name, help, labels, HISTOGRAM);

	return series ? &series->histogram : &metrics->overflow_histogram;
}

void metric_add(struct metric *metric, uint64_t n)
{
	metric->count += n;
	metric->value += metric->is_gauge ? (double)n : 0;
}

void metric_set(struct metric *metric, double value)
{
	metric->value = value;
}

uint64_t metric_value(const struct metric *metric)
{
	if (!metric->is_gauge)
		return metric->count;
	return metric->value > 0 ? (uint64_t)metric->value : 0;
}

void histogram_observe_us(struct histogram *histogram, uint64_t us)
{
	size_t i = 0;

	while (i < ARRAY_LEN(bounds_us) && us > bounds_us[i])
		i++;
	histogram->in_bucket[i]++;
	histogram->sum_us += us;
}

static void print_labels(FILE *out, const struct series *series)
{
	if (series->labels[0])
		fprintf(out, "{%s}", series->labels);
}

static void print_histogram(FILE *out, const struct series *series)
{
	const struct histogram *h = &series->histogram;
	const char *name = series->family->name;
	const char *comma = series->labels[0] ? "," : "";
	uint64_t total = 0;

	for (size_t i = 0; i <= ARRAY_LEN(bounds_us); i++) {
		total += h->in_bucket[i];
		fprintf(out, "%s_bucket{%s%sle=\"", name, series->labels, comma);
		if (i < ARRAY_LEN(bounds_us))
			fprintf(out, "%g\"} %" PRIu64 "\n", (double)bounds_us[i] / 1e6, total);
		else
			fprintf(out, "+Inf\"} %" PRIu64 "\n", total);
	}
	fprintf(out, "%s_sum", name);
	print_labels(out, series);
	fprintf(out, " %.6f\n%s_count", (double)h->sum_us / 1e6, name);
	print_labels(out, series);
	fprintf(out, " %" PRIu64 "\n", total);
}

static void print_series(FILE *out, const struct series *series)
{
	if (series->family->kind == HISTOGRAM) {
		print_histogram(out, series);
		return;
	}
	fputs(series->family->name, out);
	print_labels(out, series);
	if (series->family->kind == COUNTER)
		fprintf(out, " %" PRIu64 "\n", series->metric.count);
	else
		fprintf(out, " %.15g\n",
		    series->read ? series->read(series->arg) : series->metric.value);
}

char *metrics_text(const struct metrics *metrics, size_t *len_r)
{
	static const char *const types[] = {[COUNTER] = "counter",
	    [GAUGE] = "gauge",
	    [GAUGE_FN] = "gauge",
	    [HISTOGRAM] = "histogram"};
	static const char overflow[] = "multiclaw_metrics_overflow_total";
	char *text = NULL;
	FILE *out = open_memstream(&text, len_r);

	bug_if(!out);
	for (const struct family *family = metrics->families; family; family = family->next) {
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help,
		    family->name, types[family->kind]);
		for (const struct series *series = family->first; series; series = series->next)
			print_series(out, series);
	}
	fprintf(out,
	    "# HELP %s requests for a series that found the registry full\n# TYPE %s counter\n%s "
	    "%" PRIu64 "\n",
	    overflow, overflow, overflow, metrics->overflowed);
	fclose(out);
	return text;
}
