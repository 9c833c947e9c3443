/* AMX: eight tiles of up to 16 rows of 64 bytes, and sums of products of bytes between them. Linux lets a process use
   tiles once it has asked. */
#ifndef EDGEC_AMX_H
#define EDGEC_AMX_H

#include "isa.h"

#if defined(__AMX_TILE__) && defined(__AMX_INT8__)

/* The operand of ldtilecfg: bytes of a row and rows of each tile. */
typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} edgec_tile_shapes;

EDGEC_INLINE void edgec_tiles_begin(const edgec_tile_shapes *shapes) {
  __asm__ volatile("" : : "r"(shapes) : "memory"); /* gcc's intrinsic says that it reads eight bytes */
  _tile_loadconfig(shapes);
}
EDGEC_INLINE void edgec_tiles_end(void) { _tile_release(); }

/* Tiles are numbers that are written out. SUMS += A (unsigned bytes) times B (signed, four of a column side by side). */
#define EDGEC_TILE_LOAD(TILE, FROM, STRIDE) _tile_loadd(TILE, FROM, STRIDE)
#define EDGEC_TILE_STORE(TILE, TO, STRIDE) _tile_stored(TILE, TO, STRIDE)
#define EDGEC_TILE_DOT(SUMS, A, B) _tile_dpbusd(SUMS, A, B)

/* arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): once is enough for all threads of a process. */
EDGEC_FN int edgec_tiles_allowed(void) {
  enum { SYS_ARCH_PRCTL = 158, REQUEST = 0x1023, TILE_DATA = 18 };
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"((long)SYS_ARCH_PRCTL), "D"((long)REQUEST), "S"((long)TILE_DATA)
                   : "rcx", "r11", "memory");
  return result == 0;
}

#endif
#endif
