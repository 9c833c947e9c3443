/* Nanoseconds of each kernel call, summed until they are cleared. One run at a time. */
#include "trace.h"

#include <stdint.h>
#include <time.h>

#ifndef EDGEC_CALLS
#define EDGEC_CALLS 1
#endif

extern uint64_t edgec_trace_nanoseconds[EDGEC_CALLS];
uint64_t edgec_trace_nanoseconds[EDGEC_CALLS];
static uint64_t before;

void edgec_trace(size_t call) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const uint64_t at = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  if (call) edgec_trace_nanoseconds[call - 1] += at - before;
  before = at;
}
