/* One microkernel in floats of what is stored in halves (halves.h): gemm.h once more. */
#ifndef EDGEC_SGEMM_H
#define EDGEC_SGEMM_H

#include "halves.h"
#include "gemm.h"

#undef EDGEC_GEMM_H
#include "half_storage_on.inc"
#include "gemm.h"
#include "floats_on.inc"

#endif
