/* The entry of NAME.elf: the model as a Linux program on AArch64 without libc, for qemu-aarch64 and for boards.

     NAME.elf < inputs.raw > outputs.raw     one inference; the exit code is 0, or what NAME_run returned, negated
     NAME.elf serve                          requests on stdin until it ends: 'R' and the inputs, or 'Z' for a reset; the
                                             answer is an int32 code, and after 'R' with code 0 the outputs

   Tensors are dense and little-endian, in the order of NAME_info(). Weights that are not linked in come first on stdin.
   The compiler's command line says -DEDGEC_HEADER, -DEDGEC_MODEL(function) and, where weights are brought,
   -DEDGEC_BROUGHT=bytes. */
#include EDGEC_HEADER

#ifdef EDGEC_BROUGHT
#define WITH_WEIGHTS , weights
#else
#define WITH_WEIGHTS
#endif

enum { SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT_GROUP = 94, SYS_MMAP = 222, MAX_TENSORS = 1024 };

static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
}

static void leave(long code) {
  for (;;) call(SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0);
}

/* Bytes that start on a page; the kernel makes them zero. */
static unsigned char *reserve(size_t bytes) {
  const long at = call(SYS_MMAP, 0, (long)(bytes + 1), 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
  if (at < 0) leave(100);
  return (unsigned char *)at;
}

/* 1 when all came; 0 when stdin ended before the first byte. Ends the program in between. */
static int receive(unsigned char *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const long got = call(SYS_READ, 0, (long)(to + done), (long)(bytes - done), 0, 0, 0);
    if (got == -4) continue; /* EINTR */
    if (got <= 0 && done == 0) return 0;
    if (got <= 0) leave(101);
    done += (size_t)got;
  }
  return 1;
}

static void send(const unsigned char *from, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const long put = call(SYS_WRITE, 1, (long)(from + done), (long)(bytes - done), 0, 0, 0);
    if (put == -4) continue;
    if (put <= 0) leave(102);
    done += (size_t)put;
  }
}

static void send_code(int code) {
  send((const unsigned char *)&code, sizeof code);
}

static void receive_inputs(const edgec_info *info, unsigned char *const inputs[]) {
  for (int i = 0; i < info->n_inputs; i++) {
    if (!receive(inputs[i], info->inputs[i].bytes) && info->inputs[i].bytes) leave(101);
  }
}

static void send_outputs(const edgec_info *info, unsigned char *const outputs[]) {
  for (int i = 0; i < info->n_outputs; i++) send(outputs[i], info->outputs[i].bytes);
}

void edgec_program(const uint64_t *stack);

/* `stack` is as the kernel leaves it: the number of arguments, then their addresses. */
void edgec_program(const uint64_t *stack) {
  const edgec_info *info = EDGEC_MODEL(info)();
  static unsigned char *inputs[MAX_TENSORS], *outputs[MAX_TENSORS];
  if (info->n_inputs > MAX_TENSORS || info->n_outputs > MAX_TENSORS) leave(103);
  for (int i = 0; i < info->n_inputs; i++) inputs[i] = reserve(info->inputs[i].bytes);
  for (int i = 0; i < info->n_outputs; i++) outputs[i] = reserve(info->outputs[i].bytes);
  unsigned char *state = reserve(info->state_bytes), *scratch = reserve(info->scratch_bytes);
#ifdef EDGEC_BROUGHT
  unsigned char *weights = reserve(EDGEC_BROUGHT);
  if (!receive(weights, EDGEC_BROUGHT)) leave(101);
#endif
  const void *const *in = (const void *const *)inputs;
  void *const *out = (void *const *)outputs;
  int code = EDGEC_MODEL(init)(state WITH_WEIGHTS);
  const int serve = stack[0] > 1;
  if (serve) send_code(code);
  if (!serve || code) {
    if (!code) {
      receive_inputs(info, inputs);
      code = EDGEC_MODEL(run)(in, out, state, scratch, NULL WITH_WEIGHTS);
    }
    if (!code) send_outputs(info, outputs);
    leave(-code);
  }
  for (unsigned char request; receive(&request, 1);) {
    if (request == 'Z') {
      send_code(EDGEC_MODEL(reset)(state WITH_WEIGHTS));
      continue;
    }
    if (request != 'R') leave(104);
    receive_inputs(info, inputs);
    code = EDGEC_MODEL(run)(in, out, state, scratch, NULL WITH_WEIGHTS);
    send_code(code);
    if (!code) send_outputs(info, outputs);
  }
  leave(0);
}

/* No frame of a caller to return to; the stack stays 16-byte aligned. */
__asm__(
    ".text\n.globl _start\n.type _start, %function\n_start:\n"
    "  mov x29, xzr\n  mov x30, xzr\n  mov x0, sp\n  bl edgec_program\n  brk #0\n");
