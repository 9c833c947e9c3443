/* Matmul over 8-bit floats (float8gemm.h): matmul.h once more. */
#ifndef EDGEC_FMATMUL_H
#define EDGEC_FMATMUL_H

#include "float8gemm.h"
#include "matmul.h"
#include "fgemm.h"

#undef EDGEC_MATMUL_H
#include "float8_on.inc"
#include "matmul.h"
#include "floats_on.inc"

#endif
