/* common/clock.h, of the process that is running. */
#include "common/clock.h"

#include <stdio.h>

#include "tests/sim/proc.h"

static uint64_t boot_us(void)
{
	return world.now + (world.running ? world.running->boot_us : 0);
}

uint64_t clock_unix_us(void)
{
	int64_t wrong = world.running ? world.running->wall_us : 0;

	return WORLD_EPOCH_MS * MS + world.now + (uint64_t)wrong;
}

uint64_t clock_unix_ms(void)
{
	return clock_unix_us() / MS;
}

uint64_t clock_boot_ms(void)
{
	return boot_us() / MS;
}

uint64_t clock_boot_us(void)
{
	return boot_us();
}

char *clock_rfc3339(uint64_t unix_ms, char *buf, size_t size)
{
	snprintf(buf, size, "%llu", (unsigned long long)unix_ms);
	return buf;
}
