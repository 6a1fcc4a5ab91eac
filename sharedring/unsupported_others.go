//go:build !linux

package sharedring

import (
	"context"
	"errors"
	"os"
	"time"
)

func createMemory(string, int, options) (*os.File, error) { return nil, errors.ErrUnsupported }
func createSignal(string) (*os.File, error)               { return nil, errors.ErrUnsupported }
func adopt(*[3]*os.File, int, options) (mem, empty, full *os.File, err error) {
	return nil, nil, nil, errors.ErrUnsupported
}
func mapMemory(*os.File, int, options) ([]byte, error) { return nil, errors.ErrUnsupported }
func unmapMemory([]byte) error                         { return errors.ErrUnsupported }

type waiter struct{}

func newWaiter(*os.File) (*waiter, error)                { return nil, errors.ErrUnsupported }
func (*waiter) until(context.Context, func() bool) error { return errors.ErrUnsupported }
func (*waiter) setDeadline(time.Time) error              { return errors.ErrUnsupported }
func (*waiter) close() error                             { return nil }

type signaller struct{}

func newSignaller(*os.File) (*signaller, error) { return nil, errors.ErrUnsupported }
func (*signaller) signal() error                { return errors.ErrUnsupported }
func (*signaller) close()                       {}
