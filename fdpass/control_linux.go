package fdpass

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// parseControl returns all descriptors in the control data oob, and an error if
// it holds anything but at most one SCM_RIGHTS message. The descriptors are
// returned in either case, because they are open in this process, whatever
// stands beside them.
func parseControl(oob []byte) (fds []int, err error) {
	refuse := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	for i := 0; len(oob) > 0; i++ {
		if len(oob) < unix.SizeofCmsghdr {
			// The parser below reads a whole header without looking.
			refuse("control data ends within a header")
			break
		}
		header, data, rest, perr := unix.ParseOneSocketControlMessage(oob)
		if perr != nil {
			refuse("malformed control data: %w", perr)
			break
		}
		if i > 0 {
			refuse("several control messages")
		}
		oob = rest

		switch {
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_RIGHTS:
			if len(data) == 0 {
				refuse("SCM_RIGHTS without a descriptor")
			}
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_PIDFD:
			// With SO_PASSPIDFD, which an accepted socket inherits, the kernel
			// adds a descriptor of its own making; it would leak.
			refuse("control message SCM_PIDFD")
		default:
			refuse("control message of level %d, type %d", header.Level, header.Type)
			continue
		}
		got, derr := descriptors(data)
		fds = append(fds, got...)
		if derr != nil {
			refuse("%w", derr)
		}
	}
	return fds, err
}

// descriptors decodes an array of int32. unix.ParseUnixRights panics when the
// length is not a multiple of four, and a negative number (SCM_PIDFD reports
// errors so) is nothing to close.
func descriptors(data []byte) (fds []int, err error) {
	for ; len(data) >= 4; data = data[4:] {
		if fd := int32(binary.NativeEndian.Uint32(data)); fd >= 0 {
			fds = append(fds, int(fd))
		} else {
			err = fmt.Errorf("negative descriptor %d", fd)
		}
	}
	if len(data) > 0 {
		err = errors.New("descriptor cut off")
	}
	return fds, err
}
