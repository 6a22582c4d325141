/* filter - a seccomp profile (linux.seccomp of the OCI specification) as the program that the kernel takes. */
#ifndef WARDEN_FILTER_H
#define WARDEN_FILTER_H

#include <jansson.h>
#include <linux/filter.h>

#include "common/error.h"

/* For the machine's own architecture. What program_r points to is the caller's to free. */
int filter_compile(const json_t *profile, struct sock_fprog *program_r, struct error *err);

#endif
