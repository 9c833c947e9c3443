/* A hand-written model: y = 2x + state, then state += 1; z = sum of x, through scratch. Like what edgec emits. */
#include "model.h"

extern const float twice_weights[];

#define N 1003

static const int64_t shape_x[] = {17, 59}, shape_z[] = {1};
static const edgec_tensor_info inputs[] = {{.name = "x", .shape = shape_x, .bytes = 4 * N, .rank = 2, .dtype = EDGEC_F32}};
static const edgec_tensor_info outputs[] = {
    {.name = "y", .shape = shape_x, .bytes = 4 * N, .rank = 2, .dtype = EDGEC_F32},
    {.name = "z", .shape = shape_z, .bytes = 4, .rank = 1, .dtype = EDGEC_F32}};

const edgec_info *twice_info(void) {
  static const edgec_info info = {.name = "twice",
                                  .version = "test",
                                  .inputs = inputs,
                                  .outputs = outputs,
                                  .scratch_bytes = 4 * N,
                                  .state_bytes = 4,
                                  .weights_bytes = 64,
                                  .n_inputs = 1,
                                  .n_outputs = 2,
                                  .alignment = 64,
                                  .abi = EDGEC_ABI};
  return &info;
}

typedef struct {
  const float *x;
  float *y;
  float shift;
} task;

static void scale(void *argument, ptrdiff_t begin, ptrdiff_t end) {
  const task *t = (const task *)argument;
  for (ptrdiff_t i = begin; i < end; i++) t->y[i] = twice_weights[0] * t->x[i] + t->shift;
}

int twice_reset(void *state) {
  if (!state) return EDGEC_NULL_ARGUMENT;
  *(float *)state = 0.0f;
  return EDGEC_OK;
}

int twice_init(void *state) { return twice_reset(state); }

int twice_run(const void *const in[], void *const out[], void *state, void *scratch, const edgec_parallel *parallel) {
  if (!in || !out || !state || !scratch) return EDGEC_NULL_ARGUMENT;
  if (((uintptr_t)in[0] | (uintptr_t)out[0] | (uintptr_t)scratch) % 64) return EDGEC_MISALIGNED;
  task t = {(const float *)in[0], (float *)out[0], *(float *)state};
  if (t.x[0] < -1e9f) return EDGEC_BAD_VALUE;
  /* defects that the emulator must catch */
  if (t.x[0] == 1001.0f) return (int)t.x[N + 5 + 8];
  if (t.x[0] == 1002.0f) t.y[N] = 1.0f;
  if (t.x[0] == 1003.0f) *(volatile float *)twice_weights = 1.0f;
  if (t.x[0] == 1004.0f) __builtin_trap();
  if (parallel)
    parallel->parallel_for(parallel->pool, scale, &t, N);
  else
    scale(&t, 0, N);
  __builtin_memcpy(scratch, t.x, 4 * N);
  float sum = 0.0f;
  for (int i = 0; i < N; i++) sum += ((volatile float *)scratch)[i];
  *(float *)out[1] = sum;
  *(float *)state += 1.0f;
  return EDGEC_OK;
}
