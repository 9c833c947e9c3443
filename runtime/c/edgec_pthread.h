/* An optional pool of POSIX threads for edgec_parallel. Link edgec_pthread.c with -pthread. */
#ifndef EDGEC_PTHREAD_H
#define EDGEC_PTHREAD_H

#include "edgec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_pool edgec_pool;

/* `threads` counts the calling thread, which works too; NULL when there is no memory. When the system grants fewer
   threads, the pool has fewer. One thread at a time may use a pool. */
edgec_pool *edgec_pool_create(int threads);
int edgec_pool_threads(const edgec_pool *pool);
const edgec_parallel *edgec_pool_parallel(const edgec_pool *pool); /* lives as long as the pool; for NAME_run */
void edgec_pool_destroy(edgec_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
