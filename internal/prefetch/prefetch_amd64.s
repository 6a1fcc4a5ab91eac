#include "textflag.h"

// func forWrite(p unsafe.Pointer, lines uintptr)
//
// PREFETCHW has no name in this assembler. Processors that lack it take it for
// a NOP (Intel SDM volume 2, PREFETCHW).
TEXT ·forWrite(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ lines+8(FP), CX
again:
	BYTE $0x0F; BYTE $0x0D; BYTE $0x08 // PREFETCHW (AX)
	ADDQ $64, AX
	DECQ CX
	JNZ again
	RET
