/* loop - a disk made of a file; goes when its last user does. */
#ifndef WARDEN_LOOP_H
#define WARDEN_LOOP_H

#include "common/error.h"

/* Returns a descriptor of the device, its path in device (for mount(2)), its numbers; or -1. The file stays the caller's. */
int loop_make(int file, char device[32], unsigned *major_r, unsigned *minor_r, struct error *err);

#endif
