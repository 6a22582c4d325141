/* common/log.h, into the trace, and common/metrics.h, into nothing. */
#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"
#include "common/metrics.h"
#include "tests/sim/proc.h"

static void write_line(const char *message, va_list args)
{
	char line[1024];
	size_t used = (size_t)snprintf(line, sizeof(line), "%s", message);
	const char *key, *value;

	while (used < sizeof(line) && (key = va_arg(args, const char *))) {
		value = va_arg(args, const char *);
		int len =
		    snprintf(line + used, sizeof(line) - used, " %s=%s", key, value ? value : "-");
		used += (size_t)len;
	}
	world_trace("%s: %s", world.running ? world.running->name : "-", line);
}

void log_write(enum log_level level, const char *message, ...)
{
	va_list args;

	if (!world.traces || level == LOG_DEBUG)
		return;
	va_start(args, message);
	write_line(message, args);
	va_end(args);
}

void log_write_audit(const char *message, ...)
{
	va_list args;

	if (!world.traces)
		return;
	va_start(args, message);
	write_line(message, args);
	va_end(args);
}

void log_open(const char *service, const char *replica, enum log_level lowest)
{
	(void)service, (void)replica, (void)lowest;
}

void log_request(const char *trace, const char *caller, const char *call)
{
	(void)trace, (void)caller, (void)call;
}

bool log_is_deceptive(uint32_t point)
{
	(void)point;
	return false;
}

const char *log_u64(uint64_t n)
{
	static char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return text;
}

static int nothing;

struct metrics *metrics_new(void)
{
	return (struct metrics *)(void *)&nothing;
}

void metrics_destroy(struct metrics **metrics)
{
	*metrics = NULL;
}

struct metric *metrics_counter(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	(void)metrics, (void)name, (void)help, (void)labels;
	return (struct metric *)(void *)&nothing;
}

struct metric *metrics_gauge(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	return metrics_counter(metrics, name, help, labels);
}

void metrics_gauge_fn(struct metrics *metrics, const char *name, const char *help,
    const char *labels, double (*read)(void *), void *arg)
{
	(void)metrics, (void)name, (void)help, (void)labels, (void)read, (void)arg;
}

struct histogram *metrics_histogram(
    struct metrics *metrics, const char *name, const char *help, const char *labels)
{
	(void)metrics, (void)name, (void)help, (void)labels;
	return (struct histogram *)(void *)&nothing;
}

void metric_add(struct metric *metric, uint64_t n)
{
	(void)metric, (void)n;
}

void metric_set(struct metric *metric, double value)
{
	(void)metric, (void)value;
}

uint64_t metric_value(const struct metric *metric)
{
	(void)metric;
	return 0;
}

void histogram_observe_us(struct histogram *histogram, uint64_t us)
{
	(void)histogram, (void)us;
}

char *metrics_text(const struct metrics *metrics, size_t *len_r)
{
	(void)metrics;
	*len_r = 0;
	return NULL;
}
