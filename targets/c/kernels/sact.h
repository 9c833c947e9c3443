/* Activations in floats of what is stored in halves (halves.h): the macros of act.h stand between half_storage_on.inc and floats_on.inc. */
#ifndef EDGEC_SACT_H
#define EDGEC_SACT_H

#include "halves.h"
#include "act.h"

#endif
