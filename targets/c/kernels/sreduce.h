/* Softmax and norms in floats of what is stored in halves (halves.h): reduce.h once more. */
#ifndef EDGEC_SREDUCE_H
#define EDGEC_SREDUCE_H

#include "halves.h"
#include "reduce.h"

#undef EDGEC_REDUCE_H
#include "half_storage_on.inc"
#include "reduce.h"
#include "floats_on.inc"

#endif
