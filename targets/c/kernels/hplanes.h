/* Rows from planes in halves, where the core computes in them (halves.h): planes.h once more. */
#ifndef EDGEC_HPLANES_H
#define EDGEC_HPLANES_H

#include "halves.h"
#include "planes.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_PLANES_H
#include "halves_on.inc"
#include "planes.h"
#include "floats_on.inc"
#endif

#endif
