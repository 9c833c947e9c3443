/* One microkernel over bf16 with results of bf16 (bf16gemm.h): gemm.h once more. */
#ifndef EDGEC_TGEMM_H
#define EDGEC_TGEMM_H

#include "bf16gemm.h"

#undef EDGEC_GEMM_H
#include "bf16_results_on.inc"
#include "gemm.h"
#include "floats_on.inc"

#endif
