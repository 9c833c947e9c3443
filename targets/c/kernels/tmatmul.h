/* Matmul over bf16 with results of bf16 (bf16gemm.h): matmul.h once more. */
#ifndef EDGEC_TMATMUL_H
#define EDGEC_TMATMUL_H

#include "bf16gemm.h"
#include "matmul.h"
#include "tgemm.h"

#undef EDGEC_MATMUL_H
#include "bf16_results_on.inc"
#include "matmul.h"
#include "floats_on.inc"

#endif
