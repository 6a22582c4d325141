/* erase - a volume that is not open is deleted, by a job. */
#ifndef WARDEN_ERASE_H
#define WARDEN_ERASE_H

#include "proto/warden.h"

struct warden;

/* Says ERASED when it is done. */
void erase_volume(struct warden *warden, const struct warden_packet *packet);

#endif
