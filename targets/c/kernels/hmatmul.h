/* Matmul in halves, where the core computes in them (halves.h): matmul.h once more. */
#ifndef EDGEC_HMATMUL_H
#define EDGEC_HMATMUL_H

#include "halves.h"
#include "matmul.h"
#include "hgemm.h"

#ifdef EDGEC_HALF_LANES
#undef EDGEC_MATMUL_H
#include "halves_on.inc"
#include "matmul.h"
#include "floats_on.inc"
#endif

#endif
