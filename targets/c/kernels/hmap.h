/* Element-wise kernels in halves, where the core computes in them (halves.h): the macros of map.h stand between halves_on.inc and floats_on.inc. */
#ifndef EDGEC_HMAP_H
#define EDGEC_HMAP_H

#include "halves.h"
#include "map.h"

#endif
