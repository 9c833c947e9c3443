/* Element-wise kernels in floats of what is stored in halves (halves.h): the macros of map.h stand between half_storage_on.inc and floats_on.inc. */
#ifndef EDGEC_SMAP_H
#define EDGEC_SMAP_H

#include "halves.h"
#include "map.h"

#endif
