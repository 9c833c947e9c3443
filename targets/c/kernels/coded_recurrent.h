/* recurrent.h with recurrent weights as codes: its products are those of coded.h. */
#ifndef EDGEC_CODED_RECURRENT_H
#define EDGEC_CODED_RECURRENT_H

#include "coded.h"
#include "recurrent.h"

#endif
