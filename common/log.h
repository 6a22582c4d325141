/* log - one line per event on stderr: time level service key=value... Values are quoted and escaped when they need it, and
 * control and bidirectional characters never reach the terminal.
 *
 *	log_info("listening", "address", addr);		log_warn("node set aside", "url", host, "behind", log_u64(n));
 *
 * Arguments after the message are key, value pairs of C strings; the list ends by itself (macro). NULL values print as "-".
 * Never pass a secret: struct secret cannot be passed, fields declared SECRET must not be.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Name of the process ("auth") and replica ("auth-1") put into every line, and the lowest level that is written. */
void log_open(const char *service, const char *replica, enum log_level lowest);

/* Context of the request being served, put into every line of this thread until cleared with NULLs. Copied. The dispatcher sets it. */
void log_request(const char *trace, const char *caller, const char *call);

void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__, (char *)0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, (char *)0)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, (char *)0)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, (char *)0)

/* A character that moves the cursor, reorders what is shown, or is not shown at all: not written as it is. */
bool log_is_deceptive(uint32_t point);

/* A denial or a security-relevant act, for the audit trail: a line of level "audit" that no level setting hides. */
#define log_audit(...) log_write_audit(__VA_ARGS__, (char *)0)
void log_write_audit(const char *message, ...) __attribute__((sentinel));

/* Decimal text of n in one of 8 rotating static buffers: only for use inside a log call. */
const char *log_u64(uint64_t n);

#endif
