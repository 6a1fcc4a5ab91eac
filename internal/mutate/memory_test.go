package mutate

// memfdMutations leave out what stops each attack by a memory file.
//
// Not listed: the check that the file is a regular one, which follows from its
// having seals.
var memfdMutations = []mutation{
	caught("TestAttackWrongSeals", "accept any seals", "verify_linux.go", "if got&^SealExec != want&^SealExec {", "if false {"),
	caught("TestAttackWrongSeals", "accept more seals", "verify_linux.go", "if got&^SealExec != want&^SealExec {", "if got&want != want {"),
	caught("TestVerifyToleratesExec", "refuse the kernel's own seal", "verify_linux.go", "if got&^SealExec != want&^SealExec {", "if got != want {"),
	caught("TestAttackHugetlb", "accept hugetlbfs", "verify_linux.go", "if magic := uint32(fs.Type); magic != unix.TMPFS_MAGIC {", "if magic := uint32(fs.Type); false {"),
	caught("TestAttackWrongSize", "accept any size", "verify_linux.go", "if st.Size != size {", "if false {"),
	caught("TestAttackWrongSize", "accept a larger file", "verify_linux.go", "if st.Size != size {", "if st.Size < size {"),
	caught("TestAttackWrongSize|TestAttackEmptyFile", "accept a shorter file", "verify_linux.go", "if st.Size != size {", "if st.Size > size {"),
	{"ask the file system before the seals", "TestAttackNotMemory", []edit{
		{"verify_linux.go", "\tgot, err := getSeals(fd)\n", "\tvar fs unix.Statfs_t\n\tif err := unix.Fstatfs(fd, &fs); err != nil {\n\t\treturn unsafeError(\"%w\", err)\n\t}\n\tif magic := uint32(fs.Type); magic != unix.TMPFS_MAGIC {\n\t\treturn unsafeError(\"file system is %#x, want tmpfs %#x\", magic, unix.TMPFS_MAGIC)\n\t}\n\tgot, err := getSeals(fd)\n"},
		{"verify_linux.go", "\tvar fs unix.Statfs_t\n\tif err := unix.Fstatfs(fd, &fs); err != nil {\n\t\treturn unsafeError(\"%w\", os.NewSyscallError(\"fstatfs\", err))\n\t}\n", ""},
	}},
	caught("TestAttackSealsNotEnforced", "believe the seals", "verify_linux.go", "return unsafeError(\"a new writable mapping was allowed, want EPERM\")", "return nil"),
	caught("TestAttackReadOnlyDescriptor", "take any refusal of a mapping for the seals'", "verify_linux.go", "if !errors.Is(err, unix.EPERM) {\n\t\treturn unsafeError(\"a new", "if false {\n\t\treturn unsafeError(\"a new"),
	caught("TestAttackSealsNotEnforced", "believe the seal against shrinking", "verify_linux.go", "return unsafeError(\"shrinking was allowed in spite of SHRINK, want EPERM\")", "return nil"),
	caught("TestAttackReadOnlyDescriptor", "take any refusal to shrink for the seals'", "verify_linux.go", "if !errors.Is(err, unix.EPERM) {\n\t\treturn unsafeError(\"shrinking", "if false {\n\t\treturn unsafeError(\"shrinking"),
	caught("TestCreate", "create without seals", "memfd_linux.go", "if err := addSeals(fd, SizeSealed); err != nil {", "if err := addSeals(fd, 0); err != nil {"),
	caught("TestOtherKernels", "do not try the seal against shrinking", "memfd_linux.go", "if err := verifyUnshrinkable(fd); err != nil {", "if err := error(nil); err != nil {"),
	caught("TestCreate", "seal against shrinking only", "memfd_linux.go", "if err := addSeals(fd, SizeSealed); err != nil {", "if err := addSeals(fd, SealShrink); err != nil {"),
	caught("TestAttacksAfterSealing", "let readers write", "seals.go", "SizeSealed | SealFutureWrite | SealSeal\n", "SizeSealed | SealSeal\n"),
	caught("TestAttacksAfterSealing", "let the other end add seals", "seals.go", "SizeSealed | SealFutureWrite | SealSeal\n", "SizeSealed | SealFutureWrite\n"),
	caught("TestCreate", "let children inherit", "memfd_linux.go", "const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING", "const flags = unix.MFD_ALLOW_SEALING"),
	caught("TestOtherKernels", "no way without MFD_NOEXEC_SEAL", "memfd_linux.go", "if errors.Is(err, unix.EINVAL) {", "if errors.Is(err, unix.ENOSYS) {"),
	caught("TestVerifyInvalid", "verify what can shrink", "memfd.go", "if want&SealShrink == 0 {", "if false {"),
	caught("TestMapInvalid", "map a part of a page", "memfd.go", "size <= 0 || size%page != 0 ||", "size <= 0 ||"),
}

// fdpassMutations leave out what stops each attack by descriptors.
//
// Not listed: room for n instead of n+1 descriptors. The kernel rounds the room
// up, so that a surplus comes through as one too many for every odd n and as
// MSG_CTRUNC for every even one, which are both refused.
var fdpassMutations = []mutation{
	caught("TestAttackWrongCount", "accept any number", "fdpass_linux.go", "case len(fds) != n:", "case false:"),
	caught("TestAttackWrongCount|TestAttackSurplusIsBounded", "accept a surplus", "fdpass_linux.go", "case len(fds) != n:", "case len(fds) < n:"),
	caught("TestDescriptorLimit", "accept what is cut off", "fdpass_linux.go", "case flags&unix.MSG_CTRUNC != 0:\n", "case false:\n"),
	caught("TestDescriptorLimit", "do not tell a full table", "fdpass_linux.go", "case flags&unix.MSG_CTRUNC != 0 && len(fds) < n:", "case false:"),
	{"take descriptors of any byte", "TestAttackLaterByte", []edit{
		{"fdpass_linux.go", "_, fds, err = read(c, frame[:1], n)", "first, fds, err := read(c, frame, n)"},
		{"fdpass_linux.go", "for done := 1; err == nil", "for done := first; err == nil"},
		{"fdpass_linux.go", "\tvar fds []int\n\tdefer func() {\n\t\tif err != nil && len(fds) > 0 {\n\t\t\tdiscard(fds)\n\t\t}\n\t}()\n", ""},
	}},
	caught("TestAttackLaterByte", "forget late descriptors", "fdpass_linux.go", "fds = append(fds, late...)\n", "_ = late\n"),
	caught("TestAttackWrongCount", "keep what is refused", "fdpass_linux.go", "if err != nil && len(fds) > 0 {", "if false {"),
	caught("TestAttackOtherControlMessages", "accept other control messages", "fdpass_linux.go", "case ctlErr != nil:\n\t\terr = ctlErr\n", "case ctlErr != nil && n < 0:\n"),
	caught("TestParseControlAtTheEdge", "parse less than a header", "control_linux.go", "if len(oob) < unix.SizeofCmsghdr {", "if false {"),
	caught("TestParseControl", "accept several messages", "control_linux.go", "if i > 0 {", "if false {"),
	caught("TestParseControl", "accept a message without descriptors", "control_linux.go", "if len(data) == 0 {", "if false {"),
	caught("TestParseControl|FuzzParseControl", "close a negative descriptor", "control_linux.go", "fd >= 0 {", "true {"),
	caught("TestParseControl|FuzzParseControl", "accept a part of a descriptor", "control_linux.go", "if len(data) > 0 {", "if false {"),
	caught("TestAttackOtherControlMessages|TestParseControl", "accept a pidfd", "control_linux.go", "refuse(\"control message SCM_PIDFD\")", "_ = refuse"),
}

var wireMutations = []mutation{
	caught("TestDecode", "accept any length", "wire.go", "if len(b) != FrameSize || !Prefix(b) {", "if !Prefix(b) {"),
	caught("TestDecode", "accept any magic", "wire.go", "if len(b) != FrameSize || !Prefix(b) {", "if len(b) != FrameSize {"),
	caught("TestDecode", "accept version 0", "wire.go", "case f.Version < Version, f.Version > Version", "case f.Version > Version"),
	caught("TestDecode", "accept a later version", "wire.go", "case f.Version < Version, f.Version > Version && kind != Greeting:", "case f.Version < Version:"),
	caught("TestDecode", "refuse a newer server", "wire.go", "f.Version > Version && kind != Greeting:", "f.Version > Version:"),
	caught("TestDecode", "accept any frame", "wire.go", "case f.Kind != kind:", "case false:"),
	caught("TestDecode", "accept any flag", "wire.go", "case b[11] > 1, ", "case "),
	caught("TestDecode", "accept a flag anywhere", "wire.go", "f.Files && kind != Memory && kind != Accept, ", ""),
	caught("TestDecode", "accept reserved bytes", "wire.go", ", !bytes.Equal(b[12:16], make([]byte, 4)):", ", !bytes.Equal(b[12:12], make([]byte, 0)):"),
}

// doorbellMutations leave out what a shared eventfd needs.
//
// Not listed: RWF_NOWAIT, which only matters if a third process empties the
// counter between two system calls of the guard. The guard's second look at
// turns before it stops, and the order of turns and armed in Begin, close a
// window of a few nanoseconds, at the end of 100 ms without a ring, which no
// test can hit at will. A bell that is observed while it is being closed is
// noticed on two CPUs only.
var doorbellMutations = []mutation{
	caught("TestNoEdgeLost", "count from 0", "bell_linux.go", "unix.Eventfd(1, ", "unix.Eventfd(0, "),
	caught("TestVerify", "ring anything", "bell_linux.go", "if name != \"anon_inode:[eventfd]\" {", "if false {"),
	caught("TestVerify", "ring anything without a path", "bell_linux.go", "if name != \"anon_inode:[eventfd]\" {", "if name[0] == '/' {"),
	caught("TestOpenBlocking", "leave the descriptor as it is", "bell_linux.go", "unix.SetNonblock(fd, true)", "error(nil)"),
	caught("TestOpenNotPollable", "wait without a poller", "bell_linux.go", "if err := file.SetDeadline(time.Time{}); err != nil {", "if err := file.SetDeadline(time.Time{}); false {"),
	caught("TestClose", "an error without a name", "bell_linux.go", "return net.ErrClosed\n", "return net.UnknownNetworkError(err.Error())\n"),
	caught("TestObserve|TestObserveMany", "see a ring again and again", "lookout_linux.go", "unix.EPOLLIN | unix.EPOLLET", "unix.EPOLLIN"),
	caught("TestObserve|TestObserveRaces", "see closed bells", "lookout_linux.go", "\tb.enlist(unix.EPOLL_CTL_DEL, nil)\n", ""),
	caught("TestObserve", "keep an epoll instance without bells", "lookout_linux.go", "func (l *watchtower) closeUnused() {\n\tif len(l.bells) == 0 {", "func (l *watchtower) closeUnused() {\n\tif false {"),
	caught("TestObserve", "keep the epoll instance of a bell that was closed", "lookout_linux.go", "\tif err != nil {\n\t\tl.closeUnused()\n", "\tif err != nil {\n"),
	caught("TestObserveMany|TestObserve", "forget bells", "lookout_linux.go", "\treturn n\n}", "\treturn min(n, 1)\n}"),
	caught("TestObserveRaces", "observe a bell that is being closed", "bell_linux.go", "\tb.mu.Lock()\n\tdefer b.mu.Unlock()\n\tb.unobserve()\n", "\tb.unobserve()\n"),
	caught("TestRingBlocked", "never start the guard", "guard_linux.go", "if !g.armed.Load() {", "if false {"),
	caught("TestRingBlocked", "never free a write", "guard_linux.go", "case turns%2 == 1:", "case false:"),
	caught("TestRingBlocked", "free a write silently", "guard_linux.go", "g.blocked.Store(true)\n", ""),
	caught("TestRingBlocked", "do not empty the counter", "guard_linux.go", "unix.Preadv2(int(fd), [][]byte{count[:]}, -1, unix.RWF_NOWAIT)", "_ = count"),
	caught("TestSlowRingIsInnocent", "blame a slow write", "guard_linux.go", " || fds[0].Revents&unix.POLLOUT != 0 {", " {"),
	caught("TestGuardStops", "never stop", "guard_linux.go", "default:\n\t\tg.armed.Store(false)\n\t\tif g.turns.Load() != turns {\n", "default:\n\t\t{\n"),
	caught("TestRingBlockedEachTime", "free one write", "guard_linux.go", "g.timer.Reset(g.free())", "g.free()"),
	caught("TestCreateCloseOnExec", "let children ring", "bell_linux.go", "unix.EFD_CLOEXEC|unix.EFD_NONBLOCK", "unix.EFD_NONBLOCK"),
	caught("TestRingFull", "take a full counter for a fault", "ringer_linux.go", "if err == unix.EAGAIN {", "if false {"),
	caught("TestCountNeverMoves", "ring by counting", "ringer_linux.go", "var nothing [8]byte", "var nothing = [8]byte{1}"),
}

var hangupMutations = []mutation{
	caught("TestHangup", "do not look for a hang-up", "hangup_linux.go", "Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT,", "Events: unix.EPOLLONESHOT,"),
	caught("TestHangup|TestMany|TestUnused", "report a hang-up for ever", "hangup_linux.go", "Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT,", "Events: unix.EPOLLRDHUP,"),
	caught("TestStop|TestStopRace|TestUnused", "never forget", "hangup_linux.go", "delete(watcher.watches, w.id)\n", ""),
	caught("TestDuplicate", "leave the socket in the set", "hangup_linux.go", "w.control(unix.EPOLL_CTL_DEL, nil)\n", ""),
	caught("TestUnused", "keep the epoll instance", "hangup_linux.go", "watcher.idle.Reset(linger)\n\t}", "}"),
	caught("TestIdleTimerInUse", "close what is in use", "hangup_linux.go", "if len(watcher.watches) == 0 && watcher.epoll != nil {", "if watcher.epoll != nil {"),
	caught("TestMany", "half of an identifier", "hangup_linux.go", "lookup(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32)", "lookup(uint64(uint32(ev.Fd)) & 0xff)"),
}
