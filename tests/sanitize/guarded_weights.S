/* The weights with their end at a page that guarded.c forbids, and another such page in front.
   -DWEIGHTS=symbol -DWEIGHTS_FILE="name.bin" -DPADDING=bytes that make the padding and the file whole pages */
    .section .rodata.guarded,"a",%progbits
    .balign 65536
    .globl edgec_guard_before
edgec_guard_before:
    .skip 65536
    .skip PADDING
    .globl WEIGHTS
WEIGHTS:
    .incbin WEIGHTS_FILE
    .globl edgec_guard_after
edgec_guard_after:
    .skip 65536
    .section .note.GNU-stack,"",%progbits
