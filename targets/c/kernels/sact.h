/* Activations in floats of what is stored in halves (halves.h): act.h once more. */
#ifndef EDGEC_SACT_H
#define EDGEC_SACT_H

#include "halves.h"
#include "act.h"

#undef EDGEC_ACT_H
#include "half_storage_on.inc"
#include "act.h"
#include "floats_on.inc"

#endif
