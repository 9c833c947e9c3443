/* One microkernel in halves, where the core computes in them (halves.h): gemm.h once more. */
#ifndef EDGEC_HGEMM_H
#define EDGEC_HGEMM_H

#include "halves.h"
#include "gemm.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_GEMM_H
#include "halves_on.inc"
#include "gemm.h"
#include "floats_on.inc"
#endif

#endif
