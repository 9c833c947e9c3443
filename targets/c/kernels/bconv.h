/* Convolution over bf16 with sums in floats (bf16gemm.h): conv.h once more. */
#ifndef EDGEC_BCONV_H
#define EDGEC_BCONV_H

#include "bf16gemm.h"
#include "conv.h"
#include "bgemm.h"

#undef EDGEC_CONV_H
#include "bf16_on.inc"
#include "conv.h"
#include "floats_on.inc"

#endif
