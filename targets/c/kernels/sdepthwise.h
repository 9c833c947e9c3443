/* Depthwise convolution in floats of what is stored in halves (halves.h): depthwise.h once more. */
#ifndef EDGEC_SDEPTHWISE_H
#define EDGEC_SDEPTHWISE_H

#include "halves.h"
#include "depthwise.h"
#include "sconv.h"

#undef EDGEC_DEPTHWISE_H
#include "half_storage_on.inc"
#include "depthwise.h"
#include "floats_on.inc"

#endif
