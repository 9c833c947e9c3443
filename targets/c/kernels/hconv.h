/* Convolution in halves, where the core computes in them (halves.h): conv.h once more. */
#ifndef EDGEC_HCONV_H
#define EDGEC_HCONV_H

#include "halves.h"
#include "conv.h"
#include "hgemm.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_CONV_H
#include "halves_on.inc"
#include "conv.h"
#include "floats_on.inc"
#endif

#endif
