/* A pool of POSIX threads. Ranges are handed out as chunks in the order of asking, so that slow cores take fewer.

   A worker joins a job only while it is open; the caller closes it once no chunk is left, and waits for those who
   joined. A worker that wakes up late is therefore never waited for. */
#include "edgec_pthread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Layers follow each other within microseconds: look that long before sleeping. */
#define EDGEC_SPINS 4000

/* Chunks a thread, so that cores of unequal speed finish together. */
#define EDGEC_CHUNKS 4

#if defined(__x86_64__) || defined(__i386__)
#define EDGEC_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
#define EDGEC_PAUSE() __asm__ volatile("yield")
#else
#define EDGEC_PAUSE() ((void)0)
#endif

struct edgec_pool {
  edgec_parallel parallel;
  int workers;
  pthread_mutex_t mutex;
  pthread_cond_t start;
  pthread_cond_t done;
  atomic_uint generation; /* written under the mutex */
  atomic_int joined;      /* written under the mutex */
  int open;
  int stop;
  void (*task)(void *arg, ptrdiff_t begin, ptrdiff_t end);
  void *arg;
  ptrdiff_t n;
  ptrdiff_t chunk;
  atomic_ptrdiff_t next;
  pthread_t threads[];
};

static void edgec_take_chunks(edgec_pool *pool) {
  for (;;) {
    const ptrdiff_t begin = atomic_fetch_add_explicit(&pool->next, pool->chunk, memory_order_relaxed);
    if (begin >= pool->n) return;
    const ptrdiff_t end = pool->n - begin < pool->chunk ? pool->n : begin + pool->chunk;
    pool->task(pool->arg, begin, end);
  }
}

static void *edgec_worker(void *argument) {
  edgec_pool *pool = (edgec_pool *)argument;
  unsigned seen = 0;
  for (;;) {
    for (int i = 0; i < EDGEC_SPINS && atomic_load_explicit(&pool->generation, memory_order_relaxed) == seen; i++)
      EDGEC_PAUSE();
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->generation, memory_order_relaxed) == seen)
      pthread_cond_wait(&pool->start, &pool->mutex);
    seen = atomic_load_explicit(&pool->generation, memory_order_relaxed);
    const int stop = pool->stop;
    const int join = pool->open;
    if (join) atomic_fetch_add_explicit(&pool->joined, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool->mutex);
    if (stop) return NULL;
    if (!join) continue;
    edgec_take_chunks(pool);
    pthread_mutex_lock(&pool->mutex);
    /* release: what the task wrote is seen by a caller that only spins on `joined` */
    if (atomic_fetch_sub_explicit(&pool->joined, 1, memory_order_release) == 1) pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
  }
}

static void edgec_parallel_for(void *argument, void (*task)(void *arg, ptrdiff_t begin, ptrdiff_t end), void *arg,
                               ptrdiff_t n) {
  edgec_pool *pool = (edgec_pool *)argument;
  if (n <= 0) return;
  if (n == 1 || pool->workers == 0) {
    task(arg, 0, n);
    return;
  }
  const ptrdiff_t pieces = (ptrdiff_t)(pool->workers + 1) * EDGEC_CHUNKS;
  pthread_mutex_lock(&pool->mutex);
  pool->task = task;
  pool->arg = arg;
  pool->n = n;
  pool->chunk = n / pieces + (n % pieces != 0);
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  pool->open = 1;
  atomic_fetch_add_explicit(&pool->generation, 1, memory_order_relaxed);
  pthread_cond_broadcast(&pool->start);
  pthread_mutex_unlock(&pool->mutex);

  edgec_take_chunks(pool);

  pthread_mutex_lock(&pool->mutex);
  pool->open = 0;
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < EDGEC_SPINS; i++) {
    if (atomic_load_explicit(&pool->joined, memory_order_acquire) == 0) return;
    EDGEC_PAUSE();
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load_explicit(&pool->joined, memory_order_acquire) != 0) pthread_cond_wait(&pool->done, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

edgec_pool *edgec_pool_create(int threads) {
  const int wanted = threads > 1 ? threads - 1 : 0;
  edgec_pool *pool = (edgec_pool *)calloc(1, sizeof(edgec_pool) + (size_t)wanted * sizeof(pthread_t));
  if (!pool) return NULL;
  pool->parallel.parallel_for = edgec_parallel_for;
  pool->parallel.pool = pool;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->start, NULL);
  pthread_cond_init(&pool->done, NULL);
  while (pool->workers < wanted && pthread_create(&pool->threads[pool->workers], NULL, edgec_worker, pool) == 0)
    pool->workers++;
  return pool;
}

int edgec_pool_threads(const edgec_pool *pool) { return pool->workers + 1; }

const edgec_parallel *edgec_pool_parallel(const edgec_pool *pool) { return &pool->parallel; }

void edgec_pool_destroy(edgec_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->mutex);
  pool->stop = 1;
  atomic_fetch_add_explicit(&pool->generation, 1, memory_order_relaxed);
  pthread_cond_broadcast(&pool->start);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < pool->workers; i++) pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->start);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}
