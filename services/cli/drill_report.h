/* drill_report - what a drill has seen, round by round, and how it is said. */
#ifndef CLI_DRILL_REPORT_H
#define CLI_DRILL_REPORT_H

#include <jansson.h>

#include "services/cli/drill_judge.h"
#include "services/cli/latency.h"
#include "services/cli/outage.h"
#include "services/cli/prober.h"

struct drill_report {
	bool json, read_only, interrupted;
	unsigned bound_ms;
	size_t rounds, events, signed_in, shut_out;
	struct drill_verdict total[PROBER_POINTS_MAX]; /* the counts alone */
	size_t enforced[PROBER_POINTS_MAX], late[PROBER_POINTS_MAX], lost[PROBER_POINTS_MAX];
	size_t stopped, killed;  /* processes */
	struct latency latency;  /* event -> first 401 or 403, at each point */
	struct latency decision; /* of what was let in: asked -> answered */
	json_t *failures;        /* texts, the first 100 */
};

void drill_report_open(struct drill_report *report, bool json, bool read_only);
void drill_report_close(struct drill_report *report);

/* One point of one round. */
void drill_report_point(struct drill_report *report, const struct prober *prober, size_t point,
    const struct drill_verdict *verdict);
void drill_report_outages(struct drill_report *report, const struct outages *outages);
/* Why the promise was not held, or why it cannot be told. */
void drill_report_failure(struct drill_report *report, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A line while it runs, not with --json. */
void drill_report_line(const struct drill_report *report, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

bool drill_report_held(const struct drill_report *report);
/* could_run: false, and the summary says so. */
void drill_report_print(
    const struct drill_report *report, const struct prober *prober, bool could_run);

#endif
