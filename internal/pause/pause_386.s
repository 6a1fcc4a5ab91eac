#include "textflag.h"

// func Spin(n uint32)
TEXT ·Spin(SB), NOSPLIT, $0-4
	MOVL n+0(FP), CX
	TESTL CX, CX
	JZ done
again:
	PAUSE
	DECL CX
	JNZ again
done:
	RET
