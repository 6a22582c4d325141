/* image_signal - an import that is interrupted cleans up like one that failed: signals wait, and are looked for. */
#ifndef CLI_IMAGE_SIGNAL_H
#define CLI_IMAGE_SIGNAL_H

#include <stdbool.h>

#include "common/error.h"

/* Lets HUP, INT and TERM wait; afterwards they come. */
void image_signals_hold(void);
void image_signals_release(void);
/* Is one waiting? Then err says so. */
bool image_is_interrupted(struct error *err);

#endif
