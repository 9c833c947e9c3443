/* Convolution over bf16 with results of bf16 (bf16gemm.h): conv.h once more. */
#ifndef EDGEC_TCONV_H
#define EDGEC_TCONV_H

#include "bf16gemm.h"
#include "conv.h"
#include "tgemm.h"

#undef EDGEC_CONV_H
#include "bf16_results_on.inc"
#include "conv.h"
#include "floats_on.inc"

#endif
