/* slots - which numbers agents have: addresses, user ids and interface names come of them, so a number rests before another agent gets it (rule 27). */
#ifndef WARDEN_SLOTS_H
#define WARDEN_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct slots;

/* n numbers from 0; folder keeps which ones rest, over restarts. Caller owns the result, NULL with *err. */
struct slots *slots_new(const char *folder, uint32_t n, uint64_t rest_s, struct error *err);
void slots_destroy(struct slots **slots);

/* The one after that which was given last. ERR_BUSY: all are taken or rest. */
int slots_take(struct slots *slots, uint32_t *slot_r, struct error *err);
/* One that was found in use. */
void slots_keep(struct slots *slots, uint32_t slot);
void slots_give(struct slots *slots, uint32_t slot);

#endif
