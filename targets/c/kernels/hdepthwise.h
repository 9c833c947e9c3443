/* Depthwise convolution in halves, where the core computes in them (halves.h): depthwise.h once more. */
#ifndef EDGEC_HDEPTHWISE_H
#define EDGEC_HDEPTHWISE_H

#include "halves.h"
#include "depthwise.h"
#include "hconv.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_DEPTHWISE_H
#include "halves_on.inc"
#include "depthwise.h"
#include "floats_on.inc"
#endif

#endif
