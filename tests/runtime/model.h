#ifndef TWICE_H
#define TWICE_H
#include "edgec.h"
#ifdef __cplusplus
extern "C" {
#endif
const edgec_info *twice_info(void);
int twice_init(void *state);
int twice_reset(void *state);
int twice_run(const void *const inputs[], void *const outputs[], void *state, void *scratch,
              const edgec_parallel *parallel);
#ifdef __cplusplus
}
#endif
#endif
