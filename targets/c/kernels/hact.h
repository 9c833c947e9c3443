/* Activations in halves, where the core computes in them (halves.h): act.h once more. */
#ifndef EDGEC_HACT_H
#define EDGEC_HACT_H

#include "halves.h"
#include "act.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_ACT_H
#include "halves_on.inc"
#include "act.h"
#include "floats_on.inc"
#endif

#endif
