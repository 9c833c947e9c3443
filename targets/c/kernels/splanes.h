/* Rows from planes in floats of what is stored in halves (halves.h): planes.h once more. */
#ifndef EDGEC_SPLANES_H
#define EDGEC_SPLANES_H

#include "halves.h"
#include "planes.h"

#undef EDGEC_PLANES_H
#include "half_storage_on.inc"
#include "planes.h"
#include "floats_on.inc"

#endif
