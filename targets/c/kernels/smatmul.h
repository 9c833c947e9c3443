/* Matmul in floats of what is stored in halves (halves.h): matmul.h once more. */
#ifndef EDGEC_SMATMUL_H
#define EDGEC_SMATMUL_H

#include "halves.h"
#include "matmul.h"
#include "sgemm.h"

#undef EDGEC_MATMUL_H
#include "half_storage_on.inc"
#include "matmul.h"
#include "floats_on.inc"

#endif
