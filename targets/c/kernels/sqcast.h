/* Between halves and bytes, by way of floats (halves.h): qcast.h once more. */
#ifndef EDGEC_SQCAST_H
#define EDGEC_SQCAST_H

#include "halves.h"
#include "qcast.h"

#undef EDGEC_QCAST_H
#include "half_storage_on.inc"
#include "qcast.h"
#include "floats_on.inc"

#endif
