/* Runs one compiled model in memory of exact size: guarded INPUTS GAPS OUTPUTS.

   INPUTS holds the bytes of all inputs, one after the other, and OUTPUTS gets those of all outputs, once for each
   placement. GAPS holds pairs of int64, from and to: bytes of the scratch that belong to no buffer of the model.
   Every buffer lies between pages that must not be touched, once with its end at such a page (or at most alignment - 1
   bytes before it) and once with its start at one. Inputs are mapped read-only. What is left of a page beside a buffer
   holds a pattern which must still be there afterwards. Under AddressSanitizer buffers come from its heap instead, and
   gaps are poisoned to the byte. The weights lie between guard pages too (guarded_weights.S).
   Compile with -DMODEL=name and -include name.h. Exit code 3: the pattern is broken or a repeated run differs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#ifdef ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

#define PASTE(a, b) a##_##b
#define FUNCTION(model, name) PASTE(model, name)
#define PATTERN 0xFF /* a NaN as a float: what is read before it is written shows in the outputs */
#define GUARD 65536  /* bytes of guarded_weights.S; the largest page there is */

extern const unsigned char edgec_guard_before[], edgec_guard_after[];

typedef struct {
  unsigned char *at, *start, *end; /* the buffer, and the accessible pages that hold it */
  size_t bytes;
} buffer;

typedef struct {
  int64_t from, to;
} gap;

static void stop(const char *what, int64_t number) {
  fprintf(stderr, "%s %lld\n", what, (long long)number);
  exit(3);
}

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static buffer allocate(size_t bytes, int against_end) {
#ifdef ADDRESS_SANITIZER
  buffer b = {0, 0, 0, bytes};
  void *memory = 0;
  (void)against_end;
  if (posix_memalign(&memory, 64, bytes ? bytes : 1)) stop("no memory for bytes:", (int64_t)bytes);
  b.at = b.start = memory;
  b.end = b.at + bytes;
  memset(b.at, PATTERN, bytes);
  return b;
#else
  const size_t page = page_bytes(), inside = bytes ? (bytes + page - 1) / page * page : page;
  unsigned char *whole = mmap(0, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) stop("no memory for bytes:", (int64_t)bytes);
  buffer b = {0, whole + page, whole + page + inside, bytes};
  if (mprotect(b.start, inside, PROT_READ | PROT_WRITE)) stop("mprotect", 0);
  memset(b.start, PATTERN, inside);
  b.at = against_end ? b.end - (bytes + 63) / 64 * 64 : b.start;
  if (b.at == b.end) b.at -= 64; /* of no bytes: still an address of its own */
  return b;
#endif
}

static void check_pattern(const unsigned char *from, const unsigned char *to, const char *what, int64_t number) {
  for (; from < to; from++)
    if (*from != PATTERN) stop(what, number);
}

/* Nothing was written in the pages beside the buffer. */
static void check_sides(const buffer *b, const char *what, int64_t number) {
#ifndef ADDRESS_SANITIZER
  check_pattern(b->start, b->at, what, number);
  check_pattern(b->at + b->bytes, b->end, what, number);
#else
  (void)b, (void)what, (void)number;
#endif
}

static void fence(unsigned char *scratch, const gap *gaps, size_t count) {
  for (size_t i = 0; i < count; i++) {
    unsigned char *from = scratch + gaps[i].from, *to = scratch + gaps[i].to;
#ifdef ADDRESS_SANITIZER
    __asan_poison_memory_region(from, (size_t)(to - from));
#else
    const size_t page = page_bytes();
    unsigned char *first = from + (page - (uintptr_t)from % page) % page, *last = to - (uintptr_t)to % page;
    if (last > first && mprotect(first, (size_t)(last - first), PROT_NONE)) stop("mprotect", 0);
#endif
  }
}

static void check_gaps(const unsigned char *scratch, const gap *gaps, size_t count) {
#ifndef ADDRESS_SANITIZER
  const size_t page = page_bytes();
  for (size_t i = 0; i < count; i++) {
    const unsigned char *from = scratch + gaps[i].from, *to = scratch + gaps[i].to;
    const unsigned char *first = from + (page - (uintptr_t)from % page) % page, *last = to - (uintptr_t)to % page;
    if (last <= first) {
      check_pattern(from, to, "the model wrote between buffers of its scratch, after byte", gaps[i].from);
    } else {
      check_pattern(from, first, "the model wrote behind a buffer of its scratch, at byte", gaps[i].from);
      check_pattern(last, to, "the model wrote before a buffer of its scratch, at byte", gaps[i].to);
    }
  }
#else
  (void)scratch, (void)gaps, (void)count;
#endif
}

static unsigned char *read_all(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) stop("a file cannot be read", 0);
  *bytes = (size_t)ftell(file);
  rewind(file);
  unsigned char *all = malloc(*bytes + 1);
  if (!all || fread(all, 1, *bytes, file) != *bytes) stop("a file cannot be read", 0);
  fclose(file);
  return all;
}

static void run_placed(const unsigned char *given, const gap *gaps, size_t gap_count, FILE *to, int against_end) {
  const edgec_info *info = FUNCTION(MODEL, info)();
  buffer *in = calloc((size_t)info->n_inputs + 1, sizeof *in), *out = calloc((size_t)info->n_outputs + 1, sizeof *out);
  const void **inputs = calloc((size_t)info->n_inputs + 1, sizeof *inputs);
  void **outputs = calloc((size_t)info->n_outputs + 1, sizeof *outputs);
  void **first = calloc((size_t)info->n_outputs + 1, sizeof *first);
  if (!in || !out || !inputs || !outputs || !first) stop("no memory", 0);
  for (int i = 0; i < info->n_inputs; i++) {
    in[i] = allocate(info->inputs[i].bytes, against_end);
    memcpy(in[i].at, given, in[i].bytes);
    given += in[i].bytes;
#ifndef ADDRESS_SANITIZER
    if (mprotect(in[i].start, (size_t)(in[i].end - in[i].start), PROT_READ)) stop("mprotect", 0);
#endif
    inputs[i] = in[i].at;
  }
  for (int i = 0; i < info->n_outputs; i++) outputs[i] = (out[i] = allocate(info->outputs[i].bytes, against_end)).at;
  const buffer state = allocate(info->state_bytes, against_end), scratch = allocate(info->scratch_bytes, against_end);
  fence(scratch.at, gaps, gap_count);
  int code = FUNCTION(MODEL, init)(info->state_bytes ? state.at : NULL);
  for (int again = 0; again < 2 && !code; again++) {
    code = FUNCTION(MODEL, run)(inputs, outputs, info->state_bytes ? state.at : NULL,
                                info->scratch_bytes ? scratch.at : NULL, NULL);
    if (code) break;
    for (int i = 0; i < info->n_inputs; i++) check_sides(&in[i], "the model wrote beside input", i);
    for (int i = 0; i < info->n_outputs; i++) check_sides(&out[i], "the model wrote beside output", i);
    check_sides(&state, "the model wrote beside its state of bytes:", (int64_t)state.bytes);
    check_sides(&scratch, "the model wrote beside its scratch of bytes:", (int64_t)scratch.bytes);
    check_gaps(scratch.at, gaps, gap_count);
    for (int i = 0; i < info->n_outputs; i++) {
      if (!again) {
        if (fwrite(out[i].at, 1, out[i].bytes, to) != out[i].bytes) stop("the outputs cannot be written", i);
        if (!(first[i] = malloc(out[i].bytes + 1))) stop("no memory", 0);
        memcpy(first[i], out[i].at, out[i].bytes);
        memset(out[i].at, PATTERN, out[i].bytes);
      } else if (memcmp(first[i], out[i].at, out[i].bytes)) { /* scratch held what the first run left */
        stop("a second run gave other bits in output", i);
      }
    }
    code = FUNCTION(MODEL, reset)(info->state_bytes ? state.at : NULL);
  }
  if (code) stop("the model returned", code);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  size_t input_bytes, gap_bytes;
  const unsigned char *given = read_all(argv[1], &input_bytes);
  const gap *gaps = (const gap *)read_all(argv[2], &gap_bytes);
  FILE *to = fopen(argv[3], "wb");
  if (!to) return 2;
  if (mprotect((void *)(uintptr_t)edgec_guard_before, GUARD, PROT_NONE)) stop("mprotect", 1);
  if (mprotect((void *)(uintptr_t)edgec_guard_after, GUARD, PROT_NONE)) stop("mprotect", 2);
  for (int against_end = 1; against_end >= 0; against_end--)
    run_placed(given, gaps, gap_bytes / sizeof *gaps, to, against_end);
  return fclose(to) ? 2 : 0;
}
