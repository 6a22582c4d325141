/* metrics - counters, gauges and histograms in Prometheus' text format. One registry per process; cheap on the hot path: a
 * handle is a pointer, an increment is one addition. Never put a client's address, a token, an asset or a wallet into a label. */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct metrics;
struct metric;    /* counter or gauge */
struct histogram; /* seconds, fixed buckets 50 us .. 10 s */

struct metrics *metrics_new(void);
void metrics_destroy(struct metrics **metrics);

/* name "multiclaw_requests_total"; labels as they are printed (`call="auth.verify",code="ok"`) or NULL. Asking again for the same
 * name and labels gives the same handle. Owned by the registry. At most 1,024 series: beyond it, one shared overflow series. */
struct metric *metrics_counter(
    struct metrics *metrics, const char *name, const char *help, const char *labels);
struct metric *metrics_gauge(
    struct metrics *metrics, const char *name, const char *help, const char *labels);
/* A gauge whose value is asked for at scrape time. */
void metrics_gauge_fn(struct metrics *metrics, const char *name, const char *help,
    const char *labels, double (*read)(void *), void *arg);
struct histogram *metrics_histogram(
    struct metrics *metrics, const char *name, const char *help, const char *labels);

void metric_add(struct metric *metric, uint64_t n);
void metric_set(struct metric *metric, double value);
uint64_t metric_value(const struct metric *metric);
void histogram_observe_us(struct histogram *histogram, uint64_t us);

/* The whole registry as text. Caller frees. */
char *metrics_text(const struct metrics *metrics, size_t *len_r);

#endif
