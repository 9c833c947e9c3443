/* Matmul over bf16 with sums in floats (bf16gemm.h): matmul.h once more. */
#ifndef EDGEC_BMATMUL_H
#define EDGEC_BMATMUL_H

#include "bf16gemm.h"
#include "matmul.h"
#include "bgemm.h"

#undef EDGEC_MATMUL_H
#include "bf16_on.inc"
#include "matmul.h"
#include "floats_on.inc"

#endif
