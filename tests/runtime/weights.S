#if defined(__ELF__)
    .section .rodata
    .section .note.GNU-stack,"",%progbits
    .section .rodata
#endif
    .balign 64
    .globl twice_weights
twice_weights:
    .long 0x40000000
    .fill 15, 4, 0
