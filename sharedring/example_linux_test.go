package sharedring_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/shmconn/shmconn/sharedring"
)

// The receiver makes the queue and hands the capacity and three files to the
// sender, which in earnest is another process.
func Example() {
	const capacity = 1000
	r, err := sharedring.NewReceiver[float64](capacity)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	s, err := sharedring.OpenSender[float64](capacity, r.Memfd(), r.EmptySignal(), r.FullSignal())
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	if _, err := s.Send([]float64{0.5, 0.25, 0.125}); err != nil {
		log.Fatal(err)
	}
	samples := make([]float64, capacity)
	n, err := r.Receive(samples)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(samples[:n])
	// Output: [0.5 0.25 0.125]
}

// The items are summed where they lie, each of them read once.
func ExampleReceiver_ReceiveRaw() {
	s, err := sharedring.NewSender[uint32](100)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	r, err := sharedring.OpenReceiver[uint32](100, s.Memfd(), s.EmptySignal(), s.FullSignal())
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	s.Send([]uint32{1, 2, 3, 4})

	var sum uint32
	status, err := r.ReceiveRaw(func(piece sharedring.Raw[uint32]) int {
		for i := range piece.Len() {
			sum += piece.Load(i)
		}
		return piece.Len()
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum, status.Remaining)
	// Output: 10 0
}

// A wait ends with its context.
func ExampleReceiver_ReceiveContext() {
	r, err := sharedring.NewReceiver[byte](100)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = r.ReceiveContext(ctx, make([]byte, 10))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}
