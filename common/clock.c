#include "common/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "common/error.h"

/* Unit tests stand still here; nothing else writes it. */
static struct {
	uint64_t unix_ms;
	uint64_t boot_ms;
} fake;

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	bug_if(clock_gettime(id, &ts) != 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool is_fake(void)
{
	return fake.unix_ms || fake.boot_ms;
}

uint64_t clock_unix_ms(void)
{
	return is_fake() ? fake.unix_ms : read_us(CLOCK_REALTIME) / 1000;
}

uint64_t clock_unix_us(void)
{
	return is_fake() ? fake.unix_ms * 1000 : read_us(CLOCK_REALTIME);
}

uint64_t clock_boot_ms(void)
{
	return is_fake() ? fake.boot_ms : read_us(CLOCK_BOOTTIME) / 1000;
}

uint64_t clock_boot_us(void)
{
	return is_fake() ? fake.boot_ms * 1000 : read_us(CLOCK_BOOTTIME);
}

void clock_fake(uint64_t unix_ms, uint64_t boot_ms)
{
	fake.unix_ms = unix_ms;
	fake.boot_ms = boot_ms;
}

char *clock_rfc3339(uint64_t unix_ms, char *buf, size_t size)
{
	/* four digits of year are all the format has */
	static const uint64_t last_ms = 253402300799999;
	struct tm tm;
	char full[64];

	bug_if(size < CLOCK_RFC3339_LEN + 1);
	if (unix_ms > last_ms)
		unix_ms = last_ms;
	time_t seconds = (time_t)(unix_ms / 1000);
	bug_if(!gmtime_r(&seconds, &tm));
	snprintf(full, sizeof(full), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (unsigned)(unix_ms % 1000));
	snprintf(buf, size, "%.*s", CLOCK_RFC3339_LEN, full);
	return buf;
}
