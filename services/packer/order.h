/* order - what warden asks for, and the descriptors that come with it (proto/packer.h). */
#ifndef PACKER_ORDER_H
#define PACKER_ORDER_H

#include "common/error.h"
#include "proto/packer.h"
#include "services/packer/paths.h"

struct order {
	struct packer_order said; /* said.archive.key is wiped by who uses it */
	struct paths roots, excluded;
};

/* Checks everything, the kinds of the descriptors too, wipes the key where it came from and closes PACKER_ORDER. */
int order_read(struct order *order_r, struct error *err);

#endif
