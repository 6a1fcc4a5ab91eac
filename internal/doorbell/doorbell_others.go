//go:build !linux

package doorbell

import (
	"errors"
	"time"
)

// Create returns errors.ErrUnsupported.
func Create() (int, error) { return -1, errors.ErrUnsupported }

// Verify returns errors.ErrUnsupported.
func Verify(int) error { return errors.ErrUnsupported }

// A Bell does not exist on this system.
type Bell struct{}

// Open returns errors.ErrUnsupported.
func Open(int) (*Bell, error) { return nil, errors.ErrUnsupported }

// WaitRead returns errors.ErrUnsupported.
func (*Bell) WaitRead(func(uintptr) bool) error { return errors.ErrUnsupported }

// WaitWrite returns errors.ErrUnsupported.
func (*Bell) WaitWrite(func(uintptr) bool) error { return errors.ErrUnsupported }

// SetReadDeadline returns errors.ErrUnsupported.
func (*Bell) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline returns errors.ErrUnsupported.
func (*Bell) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// Observe returns errors.ErrUnsupported.
func (*Bell) Observe(func()) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Bell) Close() {}

// Look does nothing.
func Look() {}

// A Ringer does not exist on this system.
type Ringer struct{}

// NewRinger returns a Ringer that fails.
func NewRinger(int) *Ringer { return &Ringer{} }

// Ring returns errors.ErrUnsupported.
func (*Ringer) Ring() error { return errors.ErrUnsupported }

// Close does nothing.
func (*Ringer) Close() {}
