package mutate

// handshakeMutations leave out what a client, and then a server, checks.
//
// Not listed, because nothing on Linux can show them or everything does:
//   - memfd.VerifyEnforced, which only finds something on kernels that report
//     seals without obeying them; memfd's own list has it.
//   - the comparison of a hello's sizes with ring.MaxCapacity, which keeps the
//     conversion to int right on 32-bit systems; checkRingSize does the same.
//   - the client's deadline for the steps after the greeting. DialContext has
//     a limit of its own, so that an attempt only ends later.
//   - what makes every connection fail, such as other seals.
//   - refusing descriptors by SO_PASSRIGHTS, which is there to save a thread.
var handshakeMutations = []mutation{
	caught("TestBadServer", "client: accept any ring size", "client.go", "if size < minRingSize || size > ring.MaxCapacity || !ring.ValidCapacity(int(size)) {", "if size < minRingSize && size > ring.MaxCapacity && !ring.ValidCapacity(int(size)) {"),
	caught("TestBadServer", "client: accept any doorbell", "client.go", "if err := doorbell.Verify(fds[i]); err != nil {", "if err := doorbell.Verify(fds[i]); err != nil && i < 0 {"),
	caught("TestBadServer", "client: accept any memory to write", "client.go", "memfd.Adopt(fds[clientMemory], \"shmconn-client\", size, memfd.SizeSealed)", "os.NewFile(uintptr(fds[clientMemory]), \"shmconn-client\"), error(nil)"),
	caught("TestBadServer", "client: accept any memory to read", "client.go", "memfd.Adopt(fds[serverMemory], \"shmconn-server\", size, memfd.WriterSealed)", "os.NewFile(uintptr(fds[serverMemory]), \"shmconn-server\"), error(nil)"),
	caught("TestBadServer", "client: accept any offer", "client.go", "if offer.Status != wire.OK {", "if false {"),
	caught("TestBadServer", "client: accept any memory frame", "client.go", "memory, err := wire.Decode(frame, wire.Memory)\n", "memory, _ := wire.Decode(frame, wire.Memory)\n"),
	caught("TestBadServer", "client: keep what is refused", "client.go", "that the peer controls.\n\t\t\tcloseLater(fds)", "that the peer controls.\n\t\t\t_ = closeLater"),
	caught("TestBadServer|TestBadServerFallback", "client: leave half a frame to the application", "client.go", "if _, rest := fdpass.ReceiveDiscard(sock, frame[1:], 0, closeLater); rest != nil {", "if rest := error(nil); rest != nil {"),
	caught("TestClientForbidden", "client: fall back when a system call fails", "client.go", "errors.As(err, &sys) &&", "errors.As(err, &sys) && false &&"),
	caught("TestLingeringServers", "client: drop the descriptors of a greeting", "client.go", "first, err = readFrame(sock, tryReadBare)", "first, err = readFrame(sock, tryRead)"),
	caught("TestLingeringServers", "client: drop the descriptors of an offer", "client.go", "readFrame(sock, tryReadBareAhead)", "readFrame(sock, tryRead)"),
	caught("TestLingeringServers", "client: wait for surplus descriptors", "client.go", "unblocked(func() {", "func(f func()) { f() }(func() {"),
	caught("TestLingeringServers", "client: go on after late descriptors", "client.go", "rest = errDescriptors", "_ = errDescriptors"),
	caught("TestCloseLadenWithMany", "drop each descriptor as slowly as the first", "release_linux.go", "timer.Reset(releaseAgain)", "timer.Reset(releaseDelay)"),

	caught("TestStranger|TestAuthorize", "server: let anybody in", "server.go", "if err := l.lc.authorize(conn); err != nil {\n\t\treturn nil, err\n\t}\n", ""),
	caught("TestBadClient|TestLingeringClients", "server: drop descriptors with the hello", "server.go", "readFrame(sock, tryReadBare)", "readFrame(sock, tryRead)"),
	caught("TestBadClient", "server: accept any hello", "server.go", "case err != nil:\n\t\toffer.Status = wire.BadRequest\n", ""),
	caught("TestBadClient", "server: accept any ring size", "server.go", "if err := checkRingSize(int(d.want)); err != nil {", "if err := error(nil); err != nil {"),
	caught("TestRingSizes", "server: give whatever is asked for", "server.go", "min(size, uint64(lc.maxRingSize()))", "size"),
	caught("TestRingSizes", "server: exempt its own ring size from the limit", "server.go", "size = uint64(lc.ringSize())", "*d.given = uint64(lc.ringSize())\n\t\t\tcontinue"),
	caught("TestBadClient", "server: accept any memory", "server.go", "if err := memfd.Verify(m.client, m.clientSize, memfd.WriterSealed); err != nil {", "if err := error(nil); err != nil {"),
	caught("TestPairings|TestRingSizes", "server: do not seal its own memory", "server.go", "if err := memfd.SealWriter(m.server); err != nil {", "if err := error(nil); err != nil {"),
	caught("TestBadClient", "server: accept any verdict", "server.go", "case verdict.Status != wire.OK:", "case false:"),
	caught("TestBadClient", "server: accept any frame for a verdict", "server.go", "case err != nil:\n\t\treturn nil, fmt.Errorf(\"receive verdict: %w\", err)\n\tcase verdict.Status == ", "case verdict.Status == "),
	caught("TestBadClient", "server: keep the memory of a failed handshake", "server.go", "\tdefer m.close()\n", ""),
	caught("TestAccountOfBadClient", "server: keep the account of a failed handshake", "server.go", "\t\t\taccount.close(nil, 0, 0) // after m.close\n", ""),
	caught("TestGreedyUser", "server: any number of connections", "ledger.go", "case l.accounts >= l.max:", "case false:"),
	caught("TestMaxConns", "server: any number for one user", "ledger.go", "case l.users[uid] >= l.maxPerUID:", "case false:"),
	caught("TestNoModeWindow", "server: any mode of the socket file", "sys_linux.go", "err = os.NewSyscallError(\"fchmod\", unix.Fchmod(int(fd), uint32(mode.Perm())))", "_ = fd"),

	caught("TestReadFrameOther", "wait for the frame of another protocol", "handshake.go", "if !wire.Prefix(buf) {", "if false {"),
	caught("TestWithDeadline", "leave the deadline on", "handshake.go", "\tset(time.Time{})\n", ""),
	caught("TestWithDeadline", "ignore the end of the context", "handshake.go", "\t\tset(longAgo)\n", ""),
}
