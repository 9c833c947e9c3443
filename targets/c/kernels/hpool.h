/* Pooling in halves, where the core computes in them (halves.h): pool.h once more. */
#ifndef EDGEC_HPOOL_H
#define EDGEC_HPOOL_H

#include "halves.h"
#include "pool.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_POOL_H
#include "halves_on.inc"
#include "pool.h"
#include "floats_on.inc"
#endif

#endif
