//go:build !linux

package hangup

import (
	"errors"
	"net"
)

// A Watch does not exist on this system.
type Watch struct{}

// Start returns errors.ErrUnsupported.
func Start(*net.UnixConn, func()) (*Watch, error) { return nil, errors.ErrUnsupported }

// Stop does nothing.
func (*Watch) Stop() {}
