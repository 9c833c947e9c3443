/* One microkernel over 8-bit floats (float8gemm.h): gemm.h once more. */
#ifndef EDGEC_FGEMM_H
#define EDGEC_FGEMM_H

#include "float8gemm.h"

#undef EDGEC_GEMM_H
#include "float8_on.inc"
#include "gemm.h"
#include "floats_on.inc"

#endif
