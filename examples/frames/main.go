// Frames sends frames at a fixed rate from one process to another through a
// shared queue, as an audio or video source does, and prints and plots how late
// they arrive.
//
//	go run ./examples/frames
//	go run ./examples/frames -rate 200 -seconds 5 -plot latency.svg
//
// The program starts itself a second time as the sink and hands it the queue as
// inherited files; programs that are not parent and child pass the files over
// a unix socket. The source never waits for the sink: a frame that finds the
// queue full is dropped, because a late frame is worth nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"github.com/shmconn/shmconn/sharedring"
)

// capacity is how many frames may be under way. The sink is told, as the files
// do not say.
const capacity = 8

// samples is how many there are in a frame: 10 ms of 48 kHz stereo.
const samples = 2 * 480

// A Frame is what the queue carries: no pointers and no padding.
type Frame struct {
	Number uint64
	Sent   int64 // Unix time in nanoseconds; both processes have one clock
	Data   [samples]float32
}

func main() {
	rate := flag.Int("rate", 100, "frames a second")
	seconds := flag.Float64("seconds", 3, "how long")
	plot := flag.String("plot", "", "draw the percentiles of the latency into this `file`: svg, png or pdf")
	sink := flag.Uint64("sink", 0, "be the sink, for that many frames (internal)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch frames := uint64(float64(*rate) * *seconds); {
	case *sink > 0:
		err = runSink(ctx, *sink, *plot, os.Stdout)
	case *rate <= 0 || *rate > 100_000 || frames == 0:
		err = fmt.Errorf("no frames at a rate of %d for %g seconds", *rate, *seconds)
	default:
		err = run(ctx, *rate, frames, *plot, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "frames:", err)
		os.Exit(1)
	}
}

// run is the source, and starts the sink.
func run(ctx context.Context, rate int, frames uint64, plot string, out io.Writer) error {
	queue, err := sharedring.NewSender[Frame](capacity)
	if err != nil {
		return err
	}
	defer queue.Close()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-sink", strconv.FormatUint(frames, 10), "-plot", plot)
	cmd.ExtraFiles = []*os.File{queue.Memfd(), queue.EmptySignal(), queue.FullSignal()}
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	// The queue does not tell when the other end has died.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended <- err
		cancel(errors.Join(errors.New("sink has ended"), err))
	}()
	dropped, err := send(ctx, queue, rate, frames)
	if err != nil {
		select {
		case <-ended:
		default:
			cmd.Process.Kill()
			<-ended
		}
		return err
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	fmt.Fprintf(out, "source: %d frames sent, %d dropped\n", frames-dropped, dropped)
	return nil
}

// send sends a frame at each tick and returns how many found no room.
func send(ctx context.Context, queue *sharedring.Sender[Frame], rate int, frames uint64) (dropped uint64, err error) {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	frame := make([]Frame, 1)
	for n := range frames {
		select {
		case <-ctx.Done():
			return dropped, context.Cause(ctx)
		case <-ticker.C:
		}
		f := &frame[0]
		f.Number = n
		for i := range f.Data {
			f.Data[i] = float32(n%64) / 64
		}
		f.Sent = time.Now().UnixNano()
		last := n == frames-1
		if last { // the end of the stream, which must arrive
			_, err = queue.SendContext(ctx, frame)
		} else {
			var sent int
			sent, _, err = queue.TrySend(frame)
			dropped += uint64(1 - sent)
		}
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// runSink receives until the last frame has come, and reports.
func runSink(ctx context.Context, frames uint64, plot string, out io.Writer) error {
	queue, err := sharedring.OpenReceiver[Frame](capacity,
		os.NewFile(3, "memory"), os.NewFile(4, "empty signal"), os.NewFile(5, "full signal"))
	if err != nil {
		return err
	}
	defer queue.Close()
	var late latencies
	buf := make([]Frame, capacity)
	next := uint64(0)
	for next < frames {
		// A source that says nothing for so long has died.
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		n, err := queue.ReceiveContext(wait, buf)
		cancel()
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		for i := range buf[:n] {
			// buf is a copy: what is checked here is what is used.
			f := &buf[i]
			if f.Number < next || f.Number >= frames || f.Data[samples-1] != float32(f.Number%64)/64 {
				return fmt.Errorf("frame %d after %d is wrong", f.Number, next)
			}
			next = f.Number + 1
			late.add(time.Duration(now - f.Sent))
		}
	}
	late.print(out)
	if plot == "" {
		return nil
	}
	return late.plot(plot)
}
