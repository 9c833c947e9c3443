/* Pooling in floats of what is stored in halves (halves.h): pool.h once more. */
#ifndef EDGEC_SPOOL_H
#define EDGEC_SPOOL_H

#include "halves.h"
#include "pool.h"

#undef EDGEC_POOL_H
#include "half_storage_on.inc"
#include "pool.h"
#include "floats_on.inc"

#endif
