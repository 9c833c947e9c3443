/* Convolution over 8-bit floats (float8gemm.h): conv.h once more. */
#ifndef EDGEC_FCONV_H
#define EDGEC_FCONV_H

#include "float8gemm.h"
#include "conv.h"
#include "fgemm.h"

#undef EDGEC_CONV_H
#include "float8_on.inc"
#include "conv.h"
#include "floats_on.inc"

#endif
