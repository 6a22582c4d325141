/* clock - the three clocks, replaceable in unit tests. Nothing else in the suite calls clock_gettime. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_unix_ms(void); /* CLOCK_REALTIME: deadlines on the bus, token times */
uint64_t clock_unix_us(void); /* the same in microseconds, for measuring */
uint64_t clock_boot_ms(
    void); /* CLOCK_BOOTTIME: leases; goes on while the machine sleeps (architecture, rule 11) */
uint64_t clock_boot_us(void); /* the same in microseconds, for measuring */

#define CLOCK_RFC3339_LEN 24 /* 2026-01-02T03:04:05.678Z */
/* Writes unix_ms as RFC 3339 UTC with milliseconds; buf holds at least CLOCK_RFC3339_LEN + 1 bytes. Returns buf. */
char *clock_rfc3339(uint64_t unix_ms, char *buf, size_t size);

/* Tests only: from now on both clocks stand at these values until set again; 0, 0 gives the real clocks back. */
void clock_fake(uint64_t unix_ms, uint64_t boot_ms);

#endif
