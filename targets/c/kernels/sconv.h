/* Convolution in floats of what is stored in halves (halves.h): conv.h once more. */
#ifndef EDGEC_SCONV_H
#define EDGEC_SCONV_H

#include "halves.h"
#include "conv.h"
#include "sgemm.h"

#undef EDGEC_CONV_H
#include "half_storage_on.inc"
#include "conv.h"
#include "floats_on.inc"

#endif
