/* The four functions that a compiler may call even in freestanding code. Link this file where there is no libc:
   the emulation image and bare metal. Compile it with -ffreestanding, or a loop here becomes a call of itself. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* Any alignment, any type. */
typedef uint64_t edgec_word __attribute__((aligned(1), may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  unsigned char *t = (unsigned char *)to;
  const unsigned char *f = (const unsigned char *)from;
  for (; n >= 32; n -= 32, t += 32, f += 32) {
    const edgec_word *s = (const edgec_word *)f;
    edgec_word *d = (edgec_word *)t;
    const uint64_t a = s[0], b = s[1], c = s[2], e = s[3];
    d[0] = a, d[1] = b, d[2] = c, d[3] = e;
  }
  while (n--) *t++ = *f++;
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  unsigned char *t = (unsigned char *)to;
  const unsigned char *f = (const unsigned char *)from;
  if ((uintptr_t)t < (uintptr_t)f) {
    while (n--) *t++ = *f++;
  } else {
    while (n--) t[n] = f[n];
  }
  return to;
}

void *memset(void *to, int value, size_t n) {
  unsigned char *t = (unsigned char *)to;
  const uint64_t word = 0x0101010101010101u * (unsigned char)value;
  for (; n >= 32; n -= 32, t += 32) {
    edgec_word *d = (edgec_word *)t;
    d[0] = word, d[1] = word, d[2] = word, d[3] = word;
  }
  while (n--) *t++ = (unsigned char)value;
  return to;
}

int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;
  for (size_t i = 0; i < n; i++) {
    if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
  }
  return 0;
}
