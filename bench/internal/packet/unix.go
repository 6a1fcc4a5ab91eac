package packet

import (
	"os"
	"syscall"
)

// unixCarrier is a pair of unix sockets used with bare system calls: without
// a second thread nobody can wait for the other end, so the sender does not
// block and sends what fits, as in the crate's benchmark.
type unixCarrier struct {
	fds [2]int
	buf []byte
}

func openUnix(size int) (carrier, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	c := unixCarrier{fds, make([]byte, size)}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		c.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	return c, nil
}

func (c unixCarrier) carry(packet []byte) (total uint64, err error) {
	for len(packet) > 0 {
		n, err := syscall.Write(c.fds[0], packet)
		if err != nil {
			return 0, os.NewSyscallError("write", err)
		}
		packet = packet[n:]
		for got := 0; got < n; {
			m, err := syscall.Read(c.fds[1], c.buf[got:n])
			if err != nil {
				return 0, os.NewSyscallError("read", err)
			}
			got += m
		}
		total += sum(c.buf[:n])
	}
	return total, nil
}

func (c unixCarrier) Close() error {
	err := syscall.Close(c.fds[0])
	if other := syscall.Close(c.fds[1]); err == nil {
		err = other
	}
	return err
}
