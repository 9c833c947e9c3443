/* One microkernel over bf16 with sums in floats (bf16gemm.h): gemm.h once more. */
#ifndef EDGEC_BGEMM_H
#define EDGEC_BGEMM_H

#include "bf16gemm.h"

#undef EDGEC_GEMM_H
#include "bf16_on.inc"
#include "gemm.h"
#include "floats_on.inc"

#endif
