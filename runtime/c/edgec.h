/* The C interface of every model that edgec compiled. One copy serves any number of models in a program.

   Each model NAME adds NAME.h, which declares
     const edgec_info *NAME_info(void);
     int NAME_init(void *state);
     int NAME_reset(void *state);
     int NAME_run(const void *const inputs[], void *const outputs[], void *state, void *scratch,
                  const edgec_parallel *parallel);

   The caller supplies all memory: `inputs` and `outputs` hold one dense row-major tensor each, in the order of
   NAME_info(), `state` has state_bytes that live from NAME_init on, `scratch` has scratch_bytes that need not survive a
   call. A model built with `--weights file` takes its weights as one more argument, last in init, reset and run; NAME.h
   says so. Every pointer is a multiple of `alignment` bytes. `state` may be NULL when state_bytes is 0, `scratch` when
   scratch_bytes is 0, and `parallel` always: NULL is one thread. A model has no globals that change: calls with
   different state, scratch and outputs may run at the same time. */
#ifndef EDGEC_H
#define EDGEC_H
#define EDGEC_ABI 1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return: 0 or a negative number. Nothing is computed when it is negative. */
enum {
  EDGEC_OK = 0,
  EDGEC_NULL_ARGUMENT = -1, /* a pointer that must not be NULL is */
  EDGEC_MISALIGNED = -2,    /* a pointer is not a multiple of `alignment` */
  EDGEC_BAD_VALUE = -3,     /* an input value that the model forbids, such as an index out of range */
  EDGEC_BAD_WEIGHTS = -4,   /* the weights handed in are not those that the model was compiled with */
  EDGEC_NO_TILES = -5       /* the system does not let this process use AMX, for which the model was compiled */
};

/* Types of elements; bool is one byte, 0 or 1. What follows it has 8 bits or fewer and takes a byte an element, a
   uint8_t: its low bits are the element, bits above it are 0 in outputs and mean nothing in inputs. EDGEC_I4 and
   EDGEC_I2 are two's complement: (int8_t)(x << 4) >> 4 is the number of four bits. */
enum {
  EDGEC_F64 = 1,
  EDGEC_F32 = 2,
  EDGEC_F16 = 3,
  EDGEC_BF16 = 4,
  EDGEC_I64 = 5,
  EDGEC_I32 = 6,
  EDGEC_I16 = 7,
  EDGEC_I8 = 8,
  EDGEC_U64 = 9,
  EDGEC_U32 = 10,
  EDGEC_U16 = 11,
  EDGEC_U8 = 12,
  EDGEC_BOOL = 13,
  EDGEC_F8E4M3FN = 14,
  EDGEC_F8E4M3FNUZ = 15,
  EDGEC_F8E5M2 = 16,
  EDGEC_F8E5M2FNUZ = 17,
  EDGEC_F8E8M0 = 18,
  EDGEC_F4E2M1 = 19,
  EDGEC_I4 = 20,
  EDGEC_U4 = 21,
  EDGEC_I2 = 22,
  EDGEC_U2 = 23
};

typedef struct edgec_tensor_info {
  const char *name;
  const int64_t *shape; /* rank lengths; may be NULL when rank is 0 */
  size_t bytes;
  int32_t rank;
  int32_t dtype; /* EDGEC_F32 and so on; not an enum type, whose size depends on compiler flags */
} edgec_tensor_info;

typedef struct edgec_info {
  const char *name;    /* of the model */
  const char *version; /* of the edgec that compiled it */
  const edgec_tensor_info *inputs;
  const edgec_tensor_info *outputs;
  size_t scratch_bytes;
  size_t state_bytes;
  size_t weights_bytes;
  int32_t n_inputs;
  int32_t n_outputs;
  int32_t alignment;
  int32_t abi; /* EDGEC_ABI */
} edgec_info;

/* Threads, supplied by the caller: `parallel_for` calls task(arg, begin, end) over ranges that cover 0 ... n exactly
   once, in any order and on any thread, and returns when all are done. The split does not change a bit of the result.
   edgec_pthread.h is one; `pool` is passed through. */
typedef struct edgec_parallel {
  void (*parallel_for)(void *pool, void (*task)(void *arg, ptrdiff_t begin, ptrdiff_t end), void *arg, ptrdiff_t n);
  void *pool;
} edgec_parallel;

#ifdef __cplusplus
}
#endif
#elif EDGEC_ABI != 1
#error "edgec: two models in this program were compiled for different versions of edgec.h; compile them again"
#endif
