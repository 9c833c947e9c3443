/* Winograd convolution in halves, where the core computes in them (halves.h): winograd.h once more. */
#ifndef EDGEC_HWINOGRAD_H
#define EDGEC_HWINOGRAD_H

#include "halves.h"
#include "winograd.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_WINOGRAD_H
#include "halves_on.inc"
#include "winograd.h"
#include "floats_on.inc"
#endif

#endif
