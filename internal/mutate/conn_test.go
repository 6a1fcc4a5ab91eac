package mutate

// connMutations are about how a connection sleeps, wakes, ends and is taken
// down. Where the order of two steps counts, the schedule explorer finds out.
//
// Not listed, because nothing depends on it but time:
//   - dataPending and announceWriter looking at the status. Whoever sets a bit
//     then puts the deadline of the bell into the past, which ends the wait too.
//   - the returned os.ErrDeadlineExceeded of parkReader and parkWriter. The next
//     turn of the loop finds the deadline passed.
//   - the first look of Close at whether it is the second. The socket, which it
//     closes again, says the same.
//   - release trying the writers' lock. Close has waited for them, and those who
//     come later look at the status first.
//   - how much of the ring a sleeping writer waits for, the spinning before a
//     sleep, and the size of the pieces.
var connMutations = []mutation{
	// Sleeping.
	caught("TestExploreStream|TestExplorePingPong", "reader does not look again", "wait.go", "c.in.sleep(!c.dataPending())", "c.in.sleep(!c.in.wait.asleep || !c.dataPending())"),
	caught("TestExploreStream|TestExplorePingPong", "reader looks before it announces", "wait.go",
		"c.in.ring.Announce()\n\treturn c.in.sleep(!c.dataPending())", "asleep := !c.dataPending()\n\tc.in.ring.Announce()\n\treturn c.in.sleep(asleep)"),
	caught("TestExploreStream|TestExplorePingPong", "reader does not announce", "wait.go", "\tc.in.ring.Announce()\n", ""),
	caught("TestExploreStream|TestExplorePingPong", "writer does not look again", "wait.go",
		"c.out.sleep(free < half && err == nil && c.status.Load()&endsWriting == 0)", "c.out.sleep(!c.out.wait.asleep || free < half && err == nil && c.status.Load()&endsWriting == 0)"),
	caught("TestExploreStream|TestExplorePingPong", "writer looks before it announces", "wait.go",
		"c.out.ring.Announce(half)\n\tfree, err := c.out.ring.Writable(half)\n", "free, err := c.out.ring.Writable(half)\n\tc.out.ring.Announce(half)\n"),
	caught("TestExploreStream|TestExplorePingPong", "writer does not announce", "wait.go", "\tc.out.ring.Announce(half)\n", ""),
	caught("TestExploreCloseWrite|TestExploreCrash.*|TestExploreCloseRead", "an end of reading looks like a timeout", "wait.go", "err == os.ErrDeadlineExceeded && c.status.Load()&endsReading == 0 {", "err == os.ErrDeadlineExceeded {"),
	caught("TestExploreCloseWrite|TestExploreCrash.*|TestExploreCloseRead", "an end of writing looks like a timeout", "wait.go", "if err == os.ErrDeadlineExceeded && c.status.Load()&endsWriting == 0 {", "if err == os.ErrDeadlineExceeded {"),

	// Waking.
	caught("TestExploreStream|TestExplorePingPong", "do not ring for data", "conn.go", "\t\tc.wakePeer(c.out.ringer)\n", ""),
	caught("TestExploreStream|TestExplorePingPong", "do not ring for space", "conn.go", "\t\tc.wakePeer(c.in.ringer)\n", ""),
	caught("TestBlockedDoorbell", "ignore a blocked doorbell", "conn.go", "\t\tc.interrupt(stCorrupt)\n", ""),
	caught("TestExploreClose.*", "do not ring at the end", "close.go", "\tc.wakePeer(c.news)\n", ""),
	{"ring before the end is announced", "TestExploreClose.*", []edit{
		{"close.go", "\tc.wakePeer(c.news)\n", ""},
		{"close.go", "\tif write != nil {\n", "\tc.wakePeer(c.news)\n\tif write != nil {\n"},
	}},

	// Reading and writing.
	caught("TestExploreCrash", "look for the hang-up after the ring", "conn.go", "n, err := c.in.ring.Readable()\n", "n, err := c.in.ring.Readable()\n\t\tstatus = c.status.Load()\n"),
	caught("TestExploreCrash.*", "report a crash as the end", "conn.go", "return 0, syscall.ECONNRESET", "return 0, io.EOF"),
	caught("TestExploreCrash.*", "read without end after a crash", "conn.go", "case status&stHungUp != 0:", "case false:"),
	caught("TestExploreCrash.*", "write to the dead", "conn.go", "endsWriting = stClosed | stCorrupt | stHungUp | stWriteShut", "endsWriting = stClosed | stCorrupt | stWriteShut"),
	caught("TestErrorsLikeUnixConn|TestExploreCloseWrite|TestConformance", "write after the end", "conn.go", "if status&endsWriting != 0 {\n\t\t\treturn 0, statusError(status)\n\t\t}\n", ""),
	caught("TestErrorsLikeUnixConn|TestConformance", "read after the end", "conn.go", "case status&stReadShut != 0:", "case false:"),
	caught("TestErrorsLikeUnixConn|TestConformance", "read after Close", "conn.go", "if status&stClosed != 0 {\n\t\t\treturn 0, net.ErrClosed\n\t\t}\n\t\tif c.in", "if c.in"),
	caught("TestErrorsLikeUnixConn|TestConformance", "no read deadline for those who need not sleep", "conn.go", "if c.in.wait.deadline.passed() {", "if false {"),
	caught("TestErrorsLikeUnixConn|TestConformance", "no write deadline for those who need not sleep", "conn.go", "if c.out.wait.deadline.passed() {", "if false {"),
	caught("TestCorruptWakesTheOther|TestViolations", "read on after a violation", "conn.go", "if status&stCorrupt != 0 {\n\t\t\treturn 0, ErrCorrupt\n\t\t}\n", ""),
	caught("TestExploreCorrupt|TestCorruptWakesTheOther", "reader keeps a violation to itself", "conn.go", "c.condemn()\n\t\t\treturn 0, err\n\t\tcase err != nil:\n\t\t\treturn 0, c.ended(err)", "return 0, err\n\t\tcase err != nil:\n\t\t\treturn 0, c.ended(err)"),
	caught("TestViolations|TestCorruptWakesTheOther", "writer keeps a violation to itself", "conn.go", "c.condemn()\n\t\t\treturn 0, err\n\t\tcase err != nil:\n\t\t\treturn 0, c.ended(sys", "return 0, err\n\t\tcase err != nil:\n\t\t\treturn 0, c.ended(sys"),
	caught("TestExploreCorrupt", "do not tell the peer of its violation", "close.go", "c.interrupt(stCorrupt)\n\tc.announce((*ring.Producer).CloseWrite, (*ring.Consumer).CloseRead)\n", "c.interrupt(stCorrupt)\n"),
	caught("TestExploreBothWays|TestExploreClose.*", "read without holding the direction", "conn.go", "c.in.mu.Lock()\n\tdefer c.leave(&c.in.mu)\n\tif len(b) == 0 {", "if len(b) == 0 {"),
	caught("TestExploreBothWays|TestExploreClose.*", "write without holding the direction", "conn.go", "c.out.mu.Lock()\n\tdefer c.leave(&c.out.mu)\n\trace.Release()", "race.Release()"),

	// Ending.
	{"hang up before the end is announced", "TestErrorsLikeUnixConn|TestConformance|TestExploreClose.*", []edit{
		{"close.go", "\terr := closeSocket(c.sock)\n", ""},
		{"close.go", "\tc.out.mu.Lock()\n\tc.announce((*", "\terr := closeSocket(c.sock)\n\tc.out.mu.Lock()\n\tc.announce((*"},
	}},
	caught("TestExploreClose|TestExploreCloseBoth", "Close wakes nobody", "close.go", "\tc.bell.Close() // wakes those who sleep on it\n", ""),
	caught("TestExploreCloseWrite|TestErrorsLikeUnixConn", "CloseWrite stops no Write", "close.go", "\tc.interrupt(stWriteShut)\n", ""),
	caught("TestExploreCloseRead|TestErrorsLikeUnixConn", "CloseRead stops no Read", "close.go", "\tc.interrupt(stReadShut)\n", ""),
	caught("TestExploreCloseRead|TestErrorsLikeUnixConn", "CloseRead tells nobody", "close.go", "\tc.announce(nil, (*ring.Consumer).CloseRead)\n", ""),
	caught("TestSoakCloseRaces", "announce in memory that is gone", "close.go", "\tif c.mine == nil {\n\t\treturn // closed", "\tif false {\n\t\treturn // closed"),
	caught("TestExploreCrash|TestExploreCloseRead", "interrupt no reader", "close.go", "\t\tc.bell.SetReadDeadline(longAgo)\n", ""),
	caught("TestExploreCrashConsumer|TestExploreCloseWrite", "interrupt no writer", "close.go", "\t\tc.bell.SetWriteDeadline(longAgo)\n", ""),
	{"interrupt before the bit is set", "TestExploreCrash.*|TestExploreClose.*", []edit{
		{"close.go", "\tc.status.Or(bit)\n\tc.dl.Lock()", "\tc.dl.Lock()"},
		{"close.go", "\tif bit == stCorrupt {\n\t\tc.sock", "\tc.status.Or(bit)\n\tif bit == stCorrupt {\n\t\tc.sock"},
	}},

	// Deadlines.
	caught("TestExploreDeadline", "a deadline undoes an interruption of reading", "deadline.go", "if status&endsReading == 0 && !c.roused {", "if !c.roused {"),
	caught("TestExploreDeadline|TestBlockedWriteEnds", "a deadline undoes an interruption of writing", "deadline.go", "if status&endsWriting == 0 {", "{"),
	caught("TestExploreDeadline", "look at the status before the lock", "deadline.go", "\tc.dl.Lock()\n\tdefer c.dl.Unlock()\n\tstatus := c.status.Load()\n", "\tstatus := c.status.Load()\n\tc.dl.Lock()\n\tdefer c.dl.Unlock()\n"),
	caught("TestConformance|TestErrorsLikeUnixConn", "no read deadline for those who do not sleep", "deadline.go", "\t\tc.in.wait.deadline.set(t)\n", ""),
	caught("TestConformance|TestErrorsLikeUnixConn", "no write deadline for those who do not sleep", "deadline.go", "\t\tc.out.wait.deadline.set(t)\n", ""),
	caught("TestSpinDeadline", "a spinner does not look at the deadline", "spin.go", " || w.deadline.passedAt(t)", ""),
	caught("TestSpinDeadline", "whoever lets others run does not look at the deadline", "spin.go", "if w.deadline.passedAt(start) {", "if false && w.deadline.passedAt(start) {"),
	caught("TestOneCPU", "spin on the only CPU", "spin.go", " || cpus.one", ""),
	caught("TestCrowdLends", "sleep rather than let other threads run", "spin.go", "\tyieldThread()\n", ""),
	caught("TestCrowdAlone", "let each other run for as long as if there were work", "spin.go", "alone == crowdAlone", "alone == 1<<30"),
	caught("TestFirstWaitSleeps", "spin for a peer that has yet to accept", "spin.go", "\tif before == 0 {\n", "\tif false {\n"),
	caught("TestDozeRoused", "sleep rather than doze", "wait.go", "if spin && c.in.wait.crowded {", "if false {"),
	caught("TestDozeRoused", "nobody looks", "spin.go", "\t\tlook(start)\n", ""),
	caught("TestDozeRoused", "look at no bell", "doze.go", "\t\tc.bell.Observe(c.rouse)\n", ""),
	caught("TestDozeRoused", "return without anything to do", "doze.go", "if c.dataPending() {", "if true {"),
	caught("TestDozeRoused", "whoever is roused was not woken", "doze.go", "\t\t\tc.in.sleep(false)\n", ""),
	caught("TestDozeRoused", "dozers add up", "doze.go", "\tcpus.dozers.Add(-1)\n", ""),
	caught("TestDozeRoused", "take rousing for a deadline", "doze.go", "\t\tc.roused = true\n", ""),
	caught("TestLook", "look whenever somebody yields", "doze.go", "t-last >= int64(lookEvery) && ", ""),
	caught("TestLook", "look for nobody", "doze.go", "if cpus.dozers.Load() == 0 {", "if false {"),
	caught("TestDozeOnlyInCrowds", "doze alone", "wait.go", "if spin && c.in.wait.crowded {", "if spin {"),
	caught("TestDozeOnlyInCrowds", "doze for what nobody waits for", "wait.go", "if spin && c.in.wait.crowded {", "if c.in.wait.crowded {"),
	caught("TestDozeDeadline", "rousing takes the deadline off", "doze.go", "c.bell.SetReadDeadline(c.in.wait.deadline.time())", "c.bell.SetReadDeadline(time.Time{})"),
	caught("TestDozeLeavesNoDeadline|TestExploreDoze", "rousing leaves a deadline behind", "doze.go", "if roused {", "if false {"),
	caught("TestDozeLeavesNoDeadline|TestExploreDoze", "rouse whoever is awake", "doze.go", "if c.dozing && !c.roused {", "if !c.roused {"),
	caught("TestExploreDoze", "rousing undoes a deadline", "doze.go", "cpus.dozers.Add(-1)\n\tc.dl.Lock()\n\tdefer c.dl.Unlock()\n", "cpus.dozers.Add(-1)\n"),
	caught("TestDozeRousedForLong", "a deadline puts a roused reader to sleep again", "deadline.go", " && !c.roused {", " {"),
	caught("TestDozeRousedInVain", "rouse for nothing without end", "doze.go", "for range maxRousings {", "for {"),
	caught("TestExploreDoze", "sleep again after an interruption that rousing has undone", "wait.go", "func (c *Conn) dataPending() bool {\n\tif c.status.Load()&endsReading != 0 {", "func (c *Conn) dataPending() bool {\n\tif false {"),
	caught("TestExploreDoze", "rouse whoever has just woken", "doze.go", "func (c *Conn) rouse() {\n\tc.dl.Lock()\n\tdefer c.dl.Unlock()\n", "func (c *Conn) rouse() {\n"),
	caught("TestConformance|TestErrorsLikeUnixConn", "set a deadline after Close", "deadline.go", "if status&stClosed != 0 {", "if false {"),

	// Unmapping.
	{"unmap under a reader", "TestExploreClose.*", []edit{
		{"close.go", "if c.mine == nil || !c.in.mu.TryLock() {", "if c.mine == nil {"},
		{"close.go", "\tdefer c.in.mu.Unlock()\n", ""},
	}},
	caught("TestExploreClose.*", "unmap twice", "close.go", "if c.mine == nil || !c.in.mu.TryLock() {", "if !c.in.mu.TryLock() {"),
	caught("TestExploreClose.*", "leave the memory mapped behind a call", "close.go", "if c.status.Load()&stReleasable != 0 {", "if false {"),
	{"look for the release before leaving", "TestExploreClose", []edit{
		{"close.go", "\tmu.Unlock()\n\t// After the unlock:", "\tstatus := c.status.Load()\n\tmu.Unlock()\n\t// After the unlock:"},
		{"close.go", "if c.status.Load()&stReleasable != 0 {", "if status&stReleasable != 0 {"},
	}},
	caught("TestExploreClose.*", "release before others may", "close.go", "\tc.status.Or(stReleasable)\n\tc.release()\n", "\tc.release()\n\tc.status.Or(stReleasable)\n"),
	caught("TestMaxConns|TestListenerStats", "keep the account", "close.go", "\tc.account.close(c, c.in.total, c.out.total)\n", ""),
	caught("TestMaxConns|TestErrorsLikeUnixConn|TestSoakConnectClose", "keep the peer's doorbell", "close.go", "\tcloseFD(c.peerBell)\n", ""),

	// What a caller sees.
	caught("TestExploreCloseWriteReader", "end the writing in the middle of a Write", "close.go", "\tc.out.mu.Lock() // no byte may follow the announced end\n\tdefer c.leave(&c.out.mu)\n", ""),
	caught("TestExploreCloseReader", "close in the middle of a Write", "close.go", "\tc.out.mu.Lock()\n\tc.announce((*ring.Producer).CloseWrite, (*ring.Consumer).CloseRead)\n\tc.out.mu.Unlock()\n", "\tc.announce((*ring.Producer).CloseWrite, (*ring.Consumer).CloseRead)\n"),
	caught("TestExploreCloseAnswered", "an answer to one's own Close is the peer's", "conn.go", "\tif closed := c.usable(); closed != nil {\n\t\treturn closed\n\t}\n\treturn err", "\treturn err"),
	caught("TestExploreCloseWriteReader", "sleep through the end", "wait.go", "return n > 0 || err != nil\n}\n\n// spacePending", "_ = err\n\treturn n > 0\n}\n\n// spacePending"),
	caught("TestFarDeadline", "no deadline in the far future", "deadline.go", "if at < 0 { // overflow", "if at == 0 { // overflow"),
	caught("TestWriteToFullPipe", "give the ring to any file", "copy.go", "if isRegular(w) {", "if w != nil {"),

	// Handing a socket over.
	caught("TestCloseSharedSocket", "lose the clients of an inherited socket", "listen.go", "\tl.shared.Store(true)\n", ""),
	caught("TestCloseSharedSocket", "lose the clients of a shared socket", "socketfile.go", "if l.shared.Load() {", "if false {"),
	caught("TestCloseSharedSocket", "let handshakes delay every Close", "socketfile.go", "if l.shared.Load() {", "if true {"),
}
