package conformance

import (
	"fmt"
	"testing"
)

// TestSleeps has dumps of goroutines that wait, for a peer or for the runtime.
func TestSleeps(t *testing.T) {
	const dump = "goroutine 8 [%s]:\n%s(0x1)\n\t/a.go:1\ngithub.com/shmconn/shmconn/conformance.runCall(...)\n\t/suite.go:1"
	for _, test := range []struct {
		state, top string
		asleep     int
	}{
		{"IO wait", "internal/poll.runtime_pollWait", 1},
		{"IO wait, 2 minutes", "internal/poll.runtime_pollWait", 1},
		{"sync.Mutex.Lock", "internal/sync.runtime_SemacquireMutex", 1},
		{"semacquire", "internal/poll.runtime_Semacquire", 1},
		{"semacquire", "bytes.Repeat", 0}, // for the collector to begin or end
		{"GC assist wait", "bytes.Repeat", 0},
		{"GC assist marking", "bytes.Repeat", 0},
		{"running", "bytes.Repeat", 0},
		{"runnable (scan)", "bytes.Repeat", 0},
		{"syscall, locked to thread", "syscall.Syscall", 0},
	} {
		other := "goroutine 9 [select]:\nmain.other()\n\t/b.go:1\n\n"
		running, asleep := calls([]byte(other + fmt.Sprintf(dump, test.state, test.top)))
		if running != 1 || asleep != test.asleep {
			t.Errorf("[%s] %s: %d calls, %d asleep; want 1 and %d", test.state, test.top, running, asleep, test.asleep)
		}
	}
}
