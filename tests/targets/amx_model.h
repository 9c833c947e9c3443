/* Tiles of AMX in C, after the pseudo code of Intel's manual, in the place of kernels/amx.h: nothing here runs tiles.
   What the processor would refuse is a trap. */
#ifndef EDGEC_AMX_H
#define EDGEC_AMX_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} edgec_tile_shapes;

static _Thread_local edgec_tile_shapes tile_shapes; /* palette 0: no tiles */
static _Thread_local uint8_t tile_data[8][16][64];

static void tile_check(int right) {
  if (!right) __builtin_trap();
}

static __attribute__((unused)) void edgec_tiles_begin(const edgec_tile_shapes *shapes) {
  tile_check(sizeof *shapes == 64 && shapes->palette == 1 && shapes->start_row == 0);
  for (int i = 0; i < 14; i++) tile_check(shapes->reserved[i] == 0);
  for (int i = 0; i < 16; i++) {
    tile_check(shapes->rows[i] <= 16 && shapes->row_bytes[i] <= 64);
    tile_check((shapes->rows[i] == 0) == (shapes->row_bytes[i] == 0));
    tile_check(i < 8 || shapes->rows[i] == 0);
  }
  tile_shapes = *shapes;
  __builtin_memset(tile_data, 0, sizeof tile_data);
}

static __attribute__((unused)) void edgec_tiles_end(void) {
  tile_shapes.palette = 0;
}

static __attribute__((unused)) int edgec_tiles_allowed(void) {
  return 1;
}

static __attribute__((unused)) void tile_load(int tile, const void *from, ptrdiff_t stride) {
  tile_check(tile_shapes.palette == 1 && tile_shapes.rows[tile] > 0);
  __builtin_memset(tile_data[tile], 0, sizeof tile_data[tile]);
  for (int m = 0; m < tile_shapes.rows[tile]; m++)
    __builtin_memcpy(tile_data[tile][m], (const char *)from + m * stride, tile_shapes.row_bytes[tile]);
}

static __attribute__((unused)) void tile_store(int tile, void *to, ptrdiff_t stride) {
  tile_check(tile_shapes.palette == 1 && tile_shapes.rows[tile] > 0);
  for (int m = 0; m < tile_shapes.rows[tile]; m++)
    __builtin_memcpy((char *)to + m * stride, tile_data[tile][m], tile_shapes.row_bytes[tile]);
}

static __attribute__((unused)) void tile_dot(int sums, int a, int b) {
  const edgec_tile_shapes *s = &tile_shapes;
  tile_check(s->palette == 1 && sums != a && sums != b && a != b);
  tile_check(s->rows[sums] == s->rows[a] && s->row_bytes[sums] == s->row_bytes[b]);
  tile_check(s->row_bytes[a] == 4 * s->rows[b] && s->row_bytes[sums] % 4 == 0);
  for (int m = 0; m < s->rows[sums]; m++) {
    uint32_t row[16];
    __builtin_memcpy(row, tile_data[sums][m], sizeof row);
    for (int k = 0; k < s->row_bytes[a] / 4; k++) {
      for (int n = 0; n < s->row_bytes[sums] / 4; n++) {
        for (int j = 0; j < 4; j++)
          row[n] += (uint32_t)(tile_data[a][m][4 * k + j] * (int8_t)tile_data[b][k][4 * n + j]);
      }
    }
    __builtin_memcpy(tile_data[sums][m], row, sizeof row);
  }
}

#define EDGEC_TILE_LOAD(TILE, FROM, STRIDE) tile_load(TILE, FROM, STRIDE)
#define EDGEC_TILE_STORE(TILE, TO, STRIDE) tile_store(TILE, TO, STRIDE)
#define EDGEC_TILE_DOT(SUMS, A, B) tile_dot(SUMS, A, B)

#endif
